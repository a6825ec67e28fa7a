"""Benchmarks: commands a person runs (`python -m tests.bench NAME`), never timed asserts in the suite."""
