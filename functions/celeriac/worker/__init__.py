"""The consumer outside of Lambda: a process that polls a queue, and stops when it is told to end."""
