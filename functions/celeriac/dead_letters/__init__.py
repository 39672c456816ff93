"""Dead letters: their form, and where to find one."""
