"""Declarations, messages and decisions: data and pure functions, without AWS."""
