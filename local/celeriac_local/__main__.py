"""`python -m celeriac_local up | down | demo | env | example | reset`: what `celeriac local` does."""

import sys

from celeriac.model.extras import MissingExtraError, need

try:
    # Not in __init__.py: the emulator's environment has this package without Celeriac.
    need("local", "the local cloud")
except MissingExtraError as error:
    sys.exit(f"celeriac: {error}")

from celeriac_local.commands import app

app(prog_name="python -m celeriac_local")
