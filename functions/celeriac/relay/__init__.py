"""Rows of the outbox in, messages out."""
