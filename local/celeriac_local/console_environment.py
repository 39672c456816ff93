"""`python -m celeriac_local.console_environment`: print the environment of a command on the local cloud, or an error.

The command `celeriac` starts this module as a process, because the console may not import celeriac_local. The module
must import fast, because every `celeriac --stage local` waits for it.
"""

import json
import os
import sys

from celeriac_local.cloud import environment, lifecycle
from celeriac_local.errors import UserError


def main() -> int:
    """Print the environment as JSON, or the error. Returns the exit code."""
    try:
        found = lifecycle.require()
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(environment.of_command(found.port, os.environ)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
