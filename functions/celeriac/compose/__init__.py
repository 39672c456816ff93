"""Batches and chains: what several tasks make together, and what follows each of them."""
