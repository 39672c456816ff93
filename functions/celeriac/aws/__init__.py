"""Thin wrappers of AWS calls, one file for each service."""
