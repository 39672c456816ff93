"""Run the tests of producers, workers and the sandbox on each other Python of this machine that Celeriac supports.

python -m tests.e2e.other_pythons. Arguments go to pytest.
"""

import os
import subprocess
import sys
from itertools import chain
from pathlib import Path

from tests.support.pythons import pythons

ROOT = Path(__file__).parents[2]
TESTS = (
    *("tests/fundamentals", "tests/behaviour", "tests/costs/test_calls.py"),
    "tests/compatibility/test_previous_releases.py",
    *("tests/infra/test_bundle.py", "tests/infra/test_byte_code.py"),
    *(f"tests/unit/test_{name}.py" for name in ("sandbox*", "task", "odd_tasks", "threads", "examples", "imports")),
    *(f"tests/unit/test_{name}.py" for name in ("message", "payload", "values", "canonical", "event", "lenient")),
    *(f"tests/unit/test_{name}.py" for name in ("wire", "sqs", "log*", "metrics", "powertools", "deprecations")),
)
"""The rest, stacks and command line, runs on the Python of whoever deploys: that of `make test`."""
LONG = "test_the_record_does_not_grow_with_each_failed_message"
"""It counts for long what no Python changes."""


def main() -> int:
    """Make an environment for each Python, and run the tests there. Returns the first exit code that isn't 0."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    tests = [str(path) for path in chain.from_iterable(sorted(ROOT.glob(each)) for each in TESTS)]
    for version, python in pythons():
        if version == here:
            continue
        environment = ROOT / ".celeriac" / f"python-{version}"
        sys.stdout.write(f"Python {version}\n")
        sys.stdout.flush()
        uv = [str(Path(sys.executable).with_name("uv")), "sync", "--frozen", "--quiet", "--python", python]
        subprocess.run(uv, cwd=ROOT, check=True, env=os.environ | {"UV_PROJECT_ENVIRONMENT": str(environment)})
        run = [
            str(environment / "bin" / "python"),
            "-m",
            "pytest",
            "-q",
            "-n",
            "auto",
            "-k",
            f"not {LONG}",
            *tests,
            *sys.argv[1:],
        ]
        if code := subprocess.run(run, cwd=ROOT, check=False).returncode:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
