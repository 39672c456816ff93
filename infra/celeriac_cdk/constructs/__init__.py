"""The constructs of a stage, one in each file."""
