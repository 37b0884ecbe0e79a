"""The method ``kl``: per-token KL divergence of the two models."""
