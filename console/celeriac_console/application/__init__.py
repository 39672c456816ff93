"""The application's queues and tasks, found by name, and the arguments of a task."""
