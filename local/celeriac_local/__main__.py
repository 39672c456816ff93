"""`python -m celeriac_local up | down | demo | env | example | reset`: what `celeriac local` does."""

from celeriac_local.commands import app

app(prog_name="python -m celeriac_local")
