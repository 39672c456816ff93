"""The fenced idempotency record, and the notes beside it."""
