"""Runs every benchmark and writes report.md and report.svg beside this file.

python benchmarks/report.py [--quick | --again], or make bench. It takes some ten minutes.

Each benchmark runs in its own interpreter, by the command that its section names. The figures are kept in report.json.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bars import picture
from sections import QUICK, bars, sections

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
    parser.add_argument("--again", action="store_true", help="measure nothing: write the last figures again")
    options = parser.parse_args()
    kept = HERE / "report.json"
    if not options.again:
        when, where = datetime.now(UTC).strftime("%Y-%m-%d"), machine()
        found = {script: run(script, words if options.quick else []) for script, words in QUICK.items()}
        report = {"date": when, "machine": where, "quick": options.quick, "found": found}
        kept.write_text(json.dumps(report, indent=1) + "\n")
    report = json.loads(kept.read_text())
    (HERE / "report.svg").write_text(picture("Celeriac compared with others", bars(report["found"])))
    (HERE / "report.md").write_text(document(report))
    print("written: benchmarks/report.md, benchmarks/report.svg, benchmarks/report.json")


def machine() -> str:
    """What runs the benchmarks, and how busy it is before they begin."""
    load = os.getloadavg()[0]
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"Python {platform.python_version()} on {system}, with a load of {load:.1f} before the first of them"


def document(report: dict[str, Any]) -> str:
    """The report in Markdown."""
    rounds = ", with few rounds" if report["quick"] else ""
    head = f"""# Benchmarks

Written by benchmarks/report.py from figures of {report["date"]}, {report["machine"]}{rounds}.

A ratio is the median of paired rounds, in which both sides run in turn. In parentheses are the range that holds half of
the pairs, and the number of pairs. The docstring of a benchmark says what it measures, and how. Ratios differ between
machines: run `make bench` on yours.

![Celeriac compared with others](report.svg)
"""
    return "\n".join([head, *sections(report["found"])])


if __name__ == "__main__":
    main()
