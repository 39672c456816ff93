"""The low tools of logs, metrics and traces."""
