"""The demo: it sends real work through the whole system and compares every count with the expected one."""
