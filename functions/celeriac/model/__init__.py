"""Declarations, messages and decisions: pure data and pure functions, without AWS."""
