"""The probes of `celeriac smoke`."""
