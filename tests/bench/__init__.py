"""Measurements, as ratios within one run. `make bench` runs them; no test asserts a speed."""
