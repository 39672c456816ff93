"""The two stacks of a stage: one with the data, one with the functions."""
