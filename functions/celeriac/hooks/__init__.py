"""Hooks: code of the team's that runs around enqueuing and around each attempt."""
