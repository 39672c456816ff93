"""What stands in the bundle in place of a user's tasks."""
