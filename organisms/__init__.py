"""Organisms: specs, suites, loading a pair and sampling from it, training recipes, shipped adapters."""
