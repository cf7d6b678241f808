"""Measurements: each figure in benchmarks/README.md is made by one command of this package."""
