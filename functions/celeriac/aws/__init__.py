"""Thin calls of AWS, a file for each service."""
