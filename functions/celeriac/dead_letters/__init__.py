"""Dead letters: their format, and how to find one."""
