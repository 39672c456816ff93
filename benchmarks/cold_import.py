"""Cold import of the consumer's handler beside a bare Powertools handler, in turn, from the bundle that Lambda gets.

python benchmarks/cold_import.py [--runs 21]

Both run on this interpreter with the bundle's packages and byte code only. Single times say little on a shared
machine: the figure is the median of the ratios of paired runs.
"""

import argparse
import compileall
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from py_compile import PycInvalidationMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from infra.bundle import THIS_MACHINE, build_bundle

# What a team writes by hand to consume a queue with Powertools.
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
# Our handler makes its clients at the first message: they are counted here, where the bare one's are.
OURS = "import consumer; from celeriac.aws import client; client('dynamodb'); client('sqs')"
TIMED = "import time; start = time.perf_counter(); {}; print((time.perf_counter() - start) * 1000)"


def milliseconds(statement: str, path: list[Path]) -> float:
    """One cold run in a new interpreter that sees only `path`."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=21)
    runs: int = parser.parse_args().runs
    bundle = build_bundle(ROOT, THIS_MACHINE)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bare.py").write_text(BARE)
        compileall.compile_dir(folder, quiet=1, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        pairs = []
        for run in range(runs + 1):
            bare = milliseconds("import bare", [bundle, Path(folder)])
            ours = milliseconds(OURS, [bundle])
            if run:  # the first pair only warms the disk's cache
                pairs.append((bare, ours))
        bare_only, ours_only = zip(*pairs, strict=True)
        handler_only = [milliseconds("import consumer", [bundle]) for _ in range(5)]
    ratios = [ours / bare for bare, ours in pairs]
    print(f"bare Powertools handler with its clients   median {statistics.median(bare_only):6.0f} ms")
    print(f"Celeriac's consumer with the same clients  median {statistics.median(ours_only):6.0f} ms")
    print(f"Celeriac's consumer, import alone          median {statistics.median(handler_only):6.0f} ms")
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"ratio of {runs} pairs: median {median:.2f}, half of them between {low:.2f} and {high:.2f}")


if __name__ == "__main__":
    main()
