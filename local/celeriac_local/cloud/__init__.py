"""The local cloud itself: its processes, their environment, its state, and the deploy to it."""
