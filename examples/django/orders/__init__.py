"""Orders, and the tasks that belong to them."""
