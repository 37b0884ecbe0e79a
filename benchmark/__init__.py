"""Inspect tasks, and the command ``diffbench``."""
