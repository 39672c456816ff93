"""Batches that haven't ended: how they stand, and what each waits for."""
