"""The state of a queue: its figures, and what is wrong with it in words."""
