"""Diffing methods, the artifacts they compute, the store that keeps them, and the probe corpus."""
