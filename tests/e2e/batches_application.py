"""The application of `make batches`, as text: its queues, table, tasks and rights, and what counts its calls."""

from collections.abc import Mapping
from pathlib import Path

from tests.support.scratch import Edits

FAN_OUT, MEMBERS, CALLS = "batch-fan-out", "batch-members", "batch-calls"
STEPS = ("chain-one", "chain-two", "chain-three")
KILLED = (MEMBERS, CALLS, *STEPS)
"""The queues whose workers are killed at random."""
TABLE = "batch-counts"
MAIN, SEALED = "main", "sealed"
"""The keys of the two batches."""
BLOCK = 100
"""So many members the fan-out adds at a time."""

QUEUES = f"""
from datetime import timedelta

from celeriac import Queue

batch_calls = Queue("{CALLS}", timeout=timedelta(seconds=30), max_concurrency=2)
batch_members = Queue(
    "{MEMBERS}", concurrency=10, max_concurrency=3, timeout=timedelta(seconds=10), sends_to=[batch_calls]
)
chain_three = Queue("{STEPS[2]}", timeout=timedelta(seconds=10), max_concurrency=2, sends_to=[])
chain_two = Queue("{STEPS[1]}", timeout=timedelta(seconds=10), max_concurrency=2, sends_to=[chain_three])
chain_one = Queue("{STEPS[0]}", timeout=timedelta(seconds=10), max_concurrency=2, sends_to=[chain_two])
batch_fan_out = Queue(
    "{FAN_OUT}",
    timeout=timedelta(seconds=FILL_SECONDS),
    max_concurrency=2,
    sends_to=[batch_members, batch_calls, chain_one, chain_two, chain_three],
)
"""
TABLES = f"""
from celeriac import Table

batch_counts = Table("{TABLE}")
"""
TASKS = f'''
"""A batch whose members count, and chains whose steps hand on a word."""

import json
import os
import time
from datetime import timedelta
from itertools import batched
from pathlib import Path
from typing import Any

import boto3

import celeriac
from celeriac import RESULT, Backoff, Context, Reject, task
from celeriac.model import names, settings
from tasks.queues import batch_calls, batch_fan_out, batch_members, chain_one, chain_three, chain_two

NOTES = Path("NOTES_FOLDER")
SOON = Backoff(base=timedelta(seconds=1), attempts=10)


def note(file: str, line: str) -> None:
    """Append a line. Processes that are killed leave whole lines."""
    opened = os.open(NOTES / file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(opened, f"{{line}}\\n".encode())
    os.close(opened)


@task(batch_members, key="number", retry=SOON)
def add_one(ctx: Context, number: int, rejected: bool) -> None:
    note("starts.txt", str(number))
    if rejected and not (NOTES / "mended").exists():
        raise Reject("not before it is mended")
    with ctx.transaction() as tx:
        tx.update("{TABLE}", key={{"pk": f"member {{number}}"}}, add={{"times": 1}})


@task(batch_calls, retry=SOON)
def all_done(ctx: Context, first: int, behind: int) -> None:
    _note_call(ctx, "then", range(first, behind))


@task(batch_calls, retry=SOON)
def one_is_dead(ctx: Context, first: int, behind: int) -> None:
    _note_call(ctx, "dead", range(first, behind))


def _note_call(ctx: Context, which: str, members: range) -> None:
    batch = ctx.batch
    assert batch is not None
    status = batch.status()
    seen = {{
        "missing": status.missing,
        "dead": status.dead,
        "succeeded": status.succeeded,
        "listed": len(batch.dead_members(limit=1000)),
        "rows": _rows_of(members),
        "at": time.time(),
    }}
    with ctx.transaction() as tx:
        key = {{"pk": f"{{which}} {{batch.key}}"}}
        tx.update("{TABLE}", key=key, add={{"times": 1}}, set={{"seen": json.dumps(seen)}})


def _rows_of(members: range) -> int:
    """How many members have committed, whatever their batch says."""
    pages = boto3.client("dynamodb").get_paginator("scan")
    table = names.table(settings.stage(), "{TABLE}")
    return sum(
        row["pk"]["S"].startswith("member ") and int(row["pk"]["S"].split()[1]) in members
        for page in pages.paginate(TableName=table, ConsistentRead=True)
        for row in page["Items"]
    )


@task(batch_fan_out, key="batch_key", retry=SOON)
def fan_out(batch_key: str, members: int, rejected: int, chain: int) -> str:
    batch = begin(batch_key, 0, members)
    with batch:
        for block in batched(range(members), {BLOCK}):
            batch.enqueue_many(add_one, [{{"number": each, "rejected": each % rejected == 0}} for each in block])
            if block[0] < members // 2 <= block[-1] + 1:
                note("half.txt", str(os.getpid()))
                time.sleep(2)  # so that it can be killed here
    start_chain(chain)
    return batch.id


def begin(batch_key: str, first: int, behind: int) -> celeriac.Batch:
    members = {{"first": first, "behind": behind}}
    return celeriac.batch(then=all_done.bind(**members), dead=one_is_dead.bind(**members), key=batch_key)


def start_chain(number: int) -> Any:
    steps = two.bind(number=number, word=RESULT), three.bind(number=number, word=RESULT)
    return celeriac.chain(one.bind(number=number), *steps).enqueue()


@task(chain_one, retry=SOON)
def one(ctx: Context, number: int) -> str:
    return _step(ctx, "one", number, "")


@task(chain_two, retry=SOON)
def two(ctx: Context, number: int, word: str) -> str:
    return _step(ctx, "two", number, word)


@task(chain_three, retry=SOON)
def three(ctx: Context, number: int, word: str) -> str:
    return _step(ctx, "three", number, word)


def _step(ctx: Context, step: str, number: int, got: str) -> str:
    """Another word in each run: only the recorded one is that of the effect."""
    gives = os.urandom(8).hex()
    with ctx.transaction() as tx:
        key = {{"pk": f"step {{step}} {{number}}"}}
        tx.update("{TABLE}", key=key, add={{"times": 1}}, set={{"got": got, "gives": gives}})
        tx.result(gives)
    return "not recorded"
'''
GRANTS = f"""
    for queue in {KILLED}:
        application.queue(queue).table("{TABLE}")
    whole = iam.PolicyStatement(
        actions=["dynamodb:Scan"], resources=[arn("dynamodb", f"table/{{names.table(config.stage, '{TABLE}')}}")]
    )
    application.queue("{CALLS}").allow(whole)
    return application
"""
IMPORTS = """from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from celeriac.model import names
from celeriac_cdk.permissions import arn
"""
COUNTED = '''
"""Notes in a file each call on the flow table that a role allows: what was called, on which item."""

import json
import os
from typing import Any

FILE = "NOTES_FOLDER/calls.txt"


def install(app: Any) -> None:
    """Patch MiniStack where it first sees a request."""
    handle = app._handle_special_data_plane_request

    async def noted(method: str, path: str, headers: dict[str, Any], body: bytes, *more: Any, **named: Any) -> Any:
        target = str(headers.get("x-amz-target", ""))
        if target.startswith("DynamoDB_") and b"--flow" in body:
            read = json.loads(body)
            items = [
                each["PutRequest"]["Item"]
                for writes in read.get("RequestItems", {}).values()
                if isinstance(writes, list)
                for each in writes
            ]
            keys = items or [read.get("Key", {})]
            called = target.rpartition(".")[2]
            lines = [f"{called} {next(iter(key.get('pk', {}).values()), '')}\\n" for key in keys]
            file = os.open(FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, "".join(lines).encode())
            os.close(file)
        return await handle(method, path, headers, body, *more, **named)

    app._handle_special_data_plane_request = noted
'''
INSTALLED = """
    from ministack import app

    from celeriac_local.emulator import counted

    counted.install(app)
    roles.install()
"""
EDITS: Edits = {
    "infra/application.py": [
        ("from aws_cdk import aws_kms as kms\n", IMPORTS),
        ("    return application\n", GRANTS),
    ],
    # Messages of a worker that was killed come again soon.
    "functions/celeriac/model/queue.py": [("usual = 6 * self.timeout", "usual = self.timeout + timedelta(seconds=5)")],
    "local/celeriac_local/emulator/serve.py": [("    roles.install()\n", INSTALLED)],
}


def added(notes: Path, fill_seconds: int) -> Mapping[str, str]:
    """What is added to the copy: each file with its text."""
    return {
        "functions/tasks/queues.py": QUEUES.replace("FILL_SECONDS", str(fill_seconds)),
        "functions/tasks/tables.py": TABLES,
        "functions/tasks/batches.py": TASKS.replace("NOTES_FOLDER", str(notes)),
        "local/celeriac_local/emulator/counted.py": COUNTED.replace("NOTES_FOLDER", str(notes)),
    }
