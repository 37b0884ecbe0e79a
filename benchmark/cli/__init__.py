"""The command ``diffbench``: one command a module."""
