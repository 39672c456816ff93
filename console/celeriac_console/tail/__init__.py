"""The events and lines that `celeriac tail` reads from the logs."""
