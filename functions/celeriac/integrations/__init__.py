"""Hooks for other tools: each needs its tool's package, and is loaded only if the team lists it."""
