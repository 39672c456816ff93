"""`python -m celeriac_console`: the command `celeriac`, for a shell that doesn't find it."""

from celeriac_console.entry_point import run

run()
