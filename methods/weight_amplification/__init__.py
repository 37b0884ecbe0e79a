"""The method ``weight_amplification``: samples with the change of weights multiplied."""
