"""Sending messages, and transactions that send them."""
