"""`python -m celeriac_local up | down | demo | env | example`, which the Makefile calls."""

from celeriac_local.commands import app

app(prog_name="python -m celeriac_local")
