"""Sweeps: many tasks from one file, run as one eval set."""
