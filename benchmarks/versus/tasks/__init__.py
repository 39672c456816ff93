"""Replaces the user's tasks in the bundle."""
