"""The stage as it is now, read once for all open tabs, and what the reading costs."""
