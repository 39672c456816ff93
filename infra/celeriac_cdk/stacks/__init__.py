"""The two stacks of a stage: one with its data, one with its functions."""
