"""Compares the cold import and the size of the consumer's handler with those of a bare Powertools handler.

python benchmarks/cold_import.py [--runs 21]

Both run in turn on this interpreter. Ours runs from the bundle that Lambda gets, with its packages and byte code only.
The bare handler runs from the same packages as pip installs them, compiled to byte code. A single time says little on a
shared machine, so the figure is the median of the ratios of paired runs.

The bare handler's size is given with boto3, pinned as AWS advises, and without boto3, if the runtime's own is used.
Byte code that pip makes isn't counted; ours is.
"""

import argparse
import compileall
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from figures import Ratio, as_json, ratio
from weight import Weight, copy_distributions, of_distributions, of_folder

from celeriac_cdk.bundle.build import build_bundle
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import THIS_MACHINE

# A consumer written by hand with Powertools.
BARE = """
import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer, IdempotencyConfig, idempotent_function

logger, metrics, processor = Logger(), Metrics(namespace="bare"), BatchProcessor(EventType.SQS)
store = DynamoDBPersistenceLayer("table", boto3_client=boto3.client("dynamodb"))
sqs = boto3.client("sqs")

@idempotent_function(data_keyword_argument="record", persistence_store=store, config=IdempotencyConfig())
def work(record):
    return None

def handler(event, context):
    return process_partial_response(event=event, record_handler=work, processor=processor, context=context)
"""
# Our handler makes its clients at the first message, the bare one at its import: so ours are made here too.
OURS = "import celeriac.entry.consumer; from celeriac.aws.client import client; client('dynamodb'); client('sqs')"
TIMED = "import time; start = time.perf_counter(); {}; print((time.perf_counter() - start) * 1000)"


def milliseconds(statement: str, path: list[Path]) -> float:
    """The time of one cold run, in a new interpreter that sees only `path`."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "POWERTOOLS_SERVICE_NAME": "benchmark",
    }
    command = [sys.executable, "-S", "-c", TIMED.format(statement)]
    return float(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


@dataclass(frozen=True, slots=True)
class Figures:
    """Milliseconds, the ratio of our time to the bare handler's, and sizes."""

    bare_ms: float
    our_ms: float
    import_alone_ms: float
    cold: Ratio
    our_weight: Weight
    bare_weight: Weight
    bare_weight_without_boto3: Weight


def measure(runs: int = 21) -> Figures:
    bundle = build_bundle(Source(ROOT / "functions" / "tasks", ROOT), THIS_MACHINE)
    with tempfile.TemporaryDirectory() as folder:
        copy_distributions(Path(folder), "aws-lambda-powertools", "boto3")
        (Path(folder) / "bare_handler.py").write_text(BARE)
        compileall.compile_dir(folder, quiet=1)
        pairs = []
        for run in range(runs + 1):
            bare = milliseconds("import bare_handler", [Path(folder)])
            ours = milliseconds(OURS, [bundle])
            if run:  # the first pair only fills the disk's cache
                pairs.append((bare, ours))
        bare_only, ours_only = zip(*pairs, strict=True)
        handler_only = [milliseconds("import celeriac.entry.consumer", [bundle]) for _ in range(5)]
    return Figures(
        statistics.median(bare_only),
        statistics.median(ours_only),
        statistics.median(handler_only),
        ratio(ours_only, bare_only),
        of_folder(bundle),
        of_distributions("aws-lambda-powertools", "boto3"),
        of_distributions("aws-lambda-powertools"),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    options = parser.parse_args()
    found = measure(options.runs)
    if options.json:
        print(as_json(found))
        return
    print(f"bare Powertools handler with its clients   median {found.bare_ms:6.0f} ms")
    print(f"Celeriac's consumer with the same clients  median {found.our_ms:6.0f} ms")
    print(f"Celeriac's consumer, import alone          median {found.import_alone_ms:6.0f} ms")
    print(f"ours divided by the bare handler's: {found.cold}")
    print(f"Celeriac's bundle                {found.our_weight}")
    print(f"bare Powertools and boto3        {found.bare_weight}")
    print(f"bare Powertools, runtime's boto3 {found.bare_weight_without_boto3}")


if __name__ == "__main__":
    main()
