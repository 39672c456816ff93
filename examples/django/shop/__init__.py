"""Django's project."""
