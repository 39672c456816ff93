"""The application of the library's own tests. They don't use functions/tasks/, which belongs to the user."""
