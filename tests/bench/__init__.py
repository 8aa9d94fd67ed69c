"""Benchmarks: variants round-robin within one run, told as ratios. Machines are noisy, ratios less so."""
