"""The tasks. Every module of this package is imported, so a new file needs no registration."""
