"""What functions/tasks/ declares, and the checks that it can be deployed."""
