"""The checks of `celeriac doctor`, and their findings."""
