"""The tools of `celeriac dlq`: they read, choose, describe, export and redrive dead letters."""
