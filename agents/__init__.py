"""Investigators, their prompts, the opening of a case, and the keyless policy."""
