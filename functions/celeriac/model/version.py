"""The version of Celeriac."""

VERSION = "0.2.0"
"""pyproject.toml reads it here. Reading the metadata of an installed package takes milliseconds at a cold start."""
