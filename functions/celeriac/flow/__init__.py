"""Who may start, and who waits: the items of limits, of unique and of debounced tasks."""
