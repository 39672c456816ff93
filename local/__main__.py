"""`python -m local up | down | demo | env | example`, which the Makefile calls."""

from local.commands import app

app(prog_name="python -m local")
