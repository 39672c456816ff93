"""`python -m celeriac_local.where`: the environment for a command on the local cloud, as JSON, or why there is none.

The command `celeriac` asks in this way, because imports run from here to the console and not back. It imports nothing
heavy: a person waits for it at every `celeriac --stage local`.
"""

import json
import os
import sys

from celeriac_local import cloud, environment
from celeriac_local.problem import ProblemError


def main() -> int:
    """Print it; the exit code."""
    try:
        found = cloud.require()
    except ProblemError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(json.dumps(environment.of_command(found.port, os.environ)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
