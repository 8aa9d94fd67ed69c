"""Benchmarks. Each compares variants round-robin within one run and prints ratios: machines are noisy, ratios less so."""
