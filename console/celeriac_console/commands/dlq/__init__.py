"""The commands `celeriac dlq ...`: they list, show, redrive, discard, export and import dead letters."""
