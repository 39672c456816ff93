"""The list of ended runs, as text and as plain data."""
