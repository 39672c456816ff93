"""Runs every benchmark and writes report.md and report.svg beside this file.

python benchmarks/report.py [--quick], or make bench. It takes some ten minutes; --quick takes few rounds, for a look.

Each benchmark runs in an interpreter of its own, by the command that its section names.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bars import picture
from sections import COMMANDS, bars, sections

HERE = Path(__file__).resolve().parent


def run(script: str, options: list[str]) -> Any:
    """The figures of one benchmark."""
    started = time.monotonic()
    command = [sys.executable, str(HERE / f"{script}.py"), "--json", *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    print(f"{script} took {time.monotonic() - started:.0f} s", flush=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds")
    quick: bool = parser.parse_args().quick
    found = {script: run(script, options.quick if quick else []) for script, options in COMMANDS.items()}
    (HERE / "report.svg").write_text(picture("Celeriac beside others", bars(found)))
    (HERE / "report.md").write_text(document(found, quick=quick))
    print("written: benchmarks/report.md, benchmarks/report.svg")


def document(found: dict[str, Any], *, quick: bool) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    head = f"""# Benchmarks

Written by `make bench` on {when}, {machine}{", with few rounds (--quick)" if quick else ""}. Ratios are medians of paired
rounds that take turns; in parentheses, what half of the pairs lie between, and how many there were. What a benchmark
measures, and how, stands in its docstring. Another machine gives other ratios: run it on yours.

![How Celeriac does beside others](report.svg)
"""
    return "\n".join([head, *sections(found)])


if __name__ == "__main__":
    main()
