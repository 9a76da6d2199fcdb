"""Benchmarks that compare within one run and print ratios: `make bench`."""
