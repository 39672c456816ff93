"""Running a function with a time limit: threads, and the event loop."""
