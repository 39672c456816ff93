"""A task's arguments as the fields of a form."""
