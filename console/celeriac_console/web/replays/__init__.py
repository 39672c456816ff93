"""Replays of the outbox that the page runs: in a thread each, with their progress."""
