"""`python -m celeriac_local.where`: print the environment for a command on the local cloud, as JSON, or an error.

The command `celeriac` starts this module as a process, because the console may not import celeriac_local. The module
must import fast, because every `celeriac --stage local` waits for it.
"""

import json
import os
import sys

from celeriac_local import cloud, environment
from celeriac_local.problem import ProblemError


def main() -> int:
    """Print the environment or the error. Returns the exit code."""
    try:
        found = cloud.require()
    except ProblemError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(json.dumps(environment.of_command(found.port, os.environ)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
