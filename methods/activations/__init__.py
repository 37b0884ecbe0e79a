"""Corpora as tokens, passes of them through both models, lenses and texts that rank highest."""
