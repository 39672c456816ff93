"""Runs a MiniStack for one benchmark, on 127.0.0.1, and deploys Celeriac's real bundle to it as the stacks do."""

import io
import os
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import urllib3

from celeriac import Queue
from celeriac.model import names, settings
from celeriac_cdk.bundle.build import build_bundle
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import THIS_MACHINE
from celeriac_local.cloud import environment
from celeriac_local.cloud.processes import spawn, stop
from celeriac_local.folders import emulator_python, root

READY_SECONDS = 20
SERVE = Path(__file__).resolve().parent / "versus" / "serve.py"


@contextmanager
def emulator(folder: Path, port: int) -> Iterator[dict[str, str]]:
    """Run the emulator in `folder`; yields the environment of its clients."""
    for name in ("tmp", "home"):
        (folder / name).mkdir()
    variables = environment.of_emulator(port, os.environ)
    variables |= {"TMPDIR": str(folder / "tmp"), "HOME": str(folder / "home")}
    process = spawn([emulator_python(), SERVE], env=variables, folder=folder, log=folder / "emulator.log")
    try:
        _wait(f"{environment.endpoint(port)}/_ministack/ready")
        yield environment.of_client(port)
    finally:
        stop(process, marker=str(folder))


def _wait(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            urllib3.request("GET", url, timeout=1, retries=False)
            return
        except urllib3.exceptions.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def client(service: Any, variables: Mapping[str, str]) -> Any:
    """A boto3 client for the emulator."""
    return boto3.client(
        service,
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )


def bundle_with(folder: Path, *, only: Sequence[str]) -> bytes:
    """The zipped bundle. The files and packages `only` of `folder` replace the project's package `tasks`."""
    bundle = build_bundle(Source(root() / "functions" / "tasks", root()), THIS_MACHINE)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(bundle.rglob("*")):
            name = file.relative_to(bundle)
            if file.is_file() and name.parts[0] != "tasks":
                archive.write(file, name)
        for file in (file for name in only for file in sorted([folder / name, *(folder / name).rglob("*.py")])):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return zipped.getvalue()


def deploy(queue: Queue, code: bytes, variables: Mapping[str, str], *, own: Mapping[str, str]) -> None:
    """Make queue, function and mapping, with the numbers of infra/. `own` is added to the function's environment."""
    stage = variables["CELERIAC_STAGE"]
    sqs, functions = client("sqs", variables), client("lambda", variables)
    attributes = {"VisibilityTimeout": str(int(queue.visibility.total_seconds()))}
    url = sqs.create_queue(QueueName=queue.physical_name(stage), Attributes=attributes)["QueueUrl"]
    sqs.create_queue(QueueName=queue.dead_letter_name(stage))
    functions.create_function(
        FunctionName=queue.function_name(stage),
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/benchmark",
        Handler="celeriac.entry.consumer.handler",
        Code={"ZipFile": code},
        Timeout=int(queue.timeout.total_seconds()),
        MemorySize=512,
        Environment={
            "Variables": {
                "CELERIAC_APPLICATION": settings.application(),
                "CELERIAC_STAGE": stage,
                "POWERTOOLS_SERVICE_NAME": "celeriac",
                **own,
            }
        },
    )
    functions.create_event_source_mapping(
        FunctionName=queue.function_name(stage),
        EventSourceArn=sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"],
        BatchSize=queue.batch,
        ScalingConfig={"MaximumConcurrency": queue.max_concurrency},
        FunctionResponseTypes=["ReportBatchItemFailures"],
        Enabled=False,
    )


def switch(queue: Queue, variables: Mapping[str, str], *, on: bool) -> None:
    """Let Lambda poll the queue, or stop it. `deploy` leaves the mapping off."""
    functions = client("lambda", variables)
    name = queue.function_name(variables["CELERIAC_STAGE"])
    (mapping,) = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=on)


def create_idempotency_table(variables: Mapping[str, str]) -> None:
    client("dynamodb", variables).create_table(
        TableName=names.idempotency_table(variables["CELERIAC_STAGE"]),
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
