"""The version of Celeriac."""

VERSION = "0.1.0"
"""That of pyproject.toml. Reading the metadata of an installed package takes milliseconds at a cold start."""
