"""The fenced idempotency records, and the notes that are stored beside them."""
