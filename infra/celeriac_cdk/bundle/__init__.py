"""What the functions are given: a small, reproducible bundle."""
