"""The figures of `celeriac queues`, and their table."""
