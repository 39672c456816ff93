"""The small, reproducible bundle that the functions run."""
