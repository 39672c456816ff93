"""The tasks of the shop: its workers run them, and its web application enqueues them."""
