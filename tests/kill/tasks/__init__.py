"""The tasks that are killed. `tests.kill.bundle` copies this folder beside the library."""
