"""MiniStack, with patches for what it lacks and with the functions' roles enforced; it has its own environment."""
