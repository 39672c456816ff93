"""Limits at run time: how they stand, who waits, and what an operator sets."""
