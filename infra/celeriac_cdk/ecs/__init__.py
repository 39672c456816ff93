"""Containers on ECS: how the code gets into one, and how many there are."""
