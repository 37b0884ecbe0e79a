"""The method ``adl``, the activation difference lens, and reports on it that read the ground truth."""
