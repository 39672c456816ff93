"""Finds a task by its reference, key or id, and describes its status."""
