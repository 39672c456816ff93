"""Running a function under a limit: threads, and the event loop."""
