"""Basic tools for logs, metrics and traces."""
