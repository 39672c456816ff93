"""The two stacks of a stage: what it keeps, and what it runs."""
