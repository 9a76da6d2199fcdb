"""Benchmarks that compare servers within one run and print ratios: `make bench`."""
