"""Run the tests of producers, workers and the sandbox on each other Python of this machine that Celeriac supports.

python -m tests.e2e.other_pythons. Arguments go to pytest.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.release_check import ROOT, pythons

TESTS = ("tests/fundamentals", "tests/behaviour", "tests/costs", "tests/compatibility")
"""The stacks and the command line run on the Python of whoever deploys, which `make test` has."""


def main() -> int:
    """Make an environment for each Python, and run the tests there. Returns the first exit code that isn't 0."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    for version, python in pythons():
        if version == here:
            continue
        environment = ROOT / ".celeriac" / f"python-{version}"
        sys.stdout.write(f"Python {version}\n")
        sys.stdout.flush()
        uv = [str(Path(sys.executable).with_name("uv")), "sync", "--frozen", "--quiet", "--python", python]
        subprocess.run(uv, cwd=ROOT, check=True, env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(environment)})
        tests = [str(environment / "bin" / "python"), "-m", "pytest", "-q", "-n", "auto", *TESTS, *sys.argv[1:]]
        if code := subprocess.run(tests, cwd=ROOT, check=False).returncode:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
