"""The application of the library's own tests. Those know nothing of functions/tasks/, which is the user's."""
