"""Write down what this release leaves behind, for the tests of later ones.

    python -m tests.compatibility.write tests/compatibility/0.2.0

In AWS it leaves messages, records, outbox rows, schedules, letters, an export and names (test_previous_releases.py).
With the user it leaves a project, as `celeriac new` makes it, and that has stacks (test_previous_projects.py).

It runs under the release whose version the folder has, and again until that release is published: `make release-check`
refuses a folder that lacks, or holds another project. Once the release is out, nothing of its folder may be edited.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.metadata import PathDistribution
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from typer.testing import CliRunner

import celeriac
from celeriac.aws.client import client
from celeriac.declare import registry
from celeriac.model import declared, names, settings
from celeriac.model.version import VERSION
from celeriac.testing import Sandbox
from celeriac_console.made import library
from celeriac_console.main import app
from tests.compatibility.synthesized import stacks

# Those of a Sandbox.
APPLICATION, STAGE = "celeriac", "test"
ACCOUNT, REGION = "123456789012", "eu-west-1"


@contextmanager
def released_application(folder: Path) -> Iterator[Any]:
    """Work with the tasks of the earlier release's project. Yields the module of its tasks.

    folder: an empty folder, where no other celeriac.toml is found.
    """
    package = "tests.compatibility.application"
    (folder / settings.FILE).write_text(f'name = "{APPLICATION}"\n')
    with declared.application(package), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(settings.APPLICATION, APPLICATION)
        registry.load(package)
        from tests.compatibility.application import work  # noqa: PLC0415 - its tasks belong to the application

        with registry.only(lambda task: task.function.__module__.startswith(package)):
            work.ran.clear()
            yield work


def left_in_aws(work: Any, folder: Path) -> dict[str, Any]:
    """Everything, by the name of its file."""
    found: dict[str, Any] = {}
    with Sandbox() as sandbox:
        done = work.charge.enqueue(order_id="o-1", cents=500)
        sandbox.drain()
        found["records"] = {"items": _items(names.idempotency_table(STAGE)), "id": done.id, "ref": done.ref}
        found["names"] = _names()
    with Sandbox() as sandbox:
        work.charge.enqueue(order_id="o-1", cents=500)
        work.remind.options(delay=timedelta(minutes=5)).enqueue(order_id="o-2")
        work.book.options(group="customer-7").enqueue(order_id="o-3")
        sandbox.advance(timedelta(minutes=6))
        found["messages"] = _messages(names.part(STAGE, "jobs")) + _messages(names.part(STAGE, "ledger.fifo"))
    with Sandbox():
        with celeriac.transaction() as tx:
            tx.put("orders", {"pk": "o-4"})
            tx.emit("order.placed", {"order_id": "o-4"}, aggregate="o-4")
            tx.enqueue(work.remind, order_id="o-5")
        found["rows"] = _items(names.outbox_table(STAGE))
    with Sandbox():
        work.remind.options(delay=timedelta(days=3)).enqueue(order_id="o-6")
        work.charge.options(delay=timedelta(days=4)).enqueue(order_id="o-7", cents=7)
        found["schedules"] = _schedules()
    with Sandbox() as sandbox:
        work.refuse.enqueue(order_id="bad-8")
        sandbox.drain()
        file = folder / "letters.jsonl"
        exported = CliRunner().invoke(app, ["--stage", STAGE, "dlq", "export", "jobs", str(file)])
        if exported.exit_code != 0:
            raise RuntimeError(exported.output)
        found["export"] = file.read_text().splitlines()
        found["letters"] = _messages(work.refuse.queue.dead_letter_name(STAGE))
    return found


def _items(table: str) -> list[dict[str, Any]]:
    return [dict(item) for item in client("dynamodb").scan(TableName=table)["Items"]]


def _messages(queue: str) -> list[dict[str, Any]]:
    """Body, attributes and group of every visible message."""
    sqs = client("sqs")
    answer = sqs.receive_message(
        QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"],
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["MessageGroupId", "MessageDeduplicationId"],
    )
    return [
        {
            "queue": queue,
            "body": message["Body"],
            "attributes": {
                name: {key: value[key] for key in ("DataType", "StringValue") if key in value}
                for name, value in message.get("MessageAttributes", {}).items()
            },
            "group": message.get("Attributes", {}).get("MessageGroupId"),
            "deduplication": message.get("Attributes", {}).get("MessageDeduplicationId"),
        }
        for message in answer["Messages"]
    ]


def _schedules() -> list[dict[str, Any]]:
    scheduler, group = client("scheduler"), names.schedule_group(STAGE)
    kept = (
        *("Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow"),
        *("Target", "ActionAfterCompletion", "Description", "State"),
    )
    found = [
        scheduler.get_schedule(Name=each["Name"], GroupName=group)
        for each in scheduler.list_schedules(GroupName=group)["Schedules"]
    ]
    return [{key: each[key] for key in kept if key in each} for each in found]  # type: ignore[literal-required]


def _names() -> dict[str, Any]:
    """The names of what is deployed, and of what is looked for by its name."""
    of_stage = (
        *("prefix", "start", "idempotency_table", "outbox_table", "flow_table", "bus", "schedule_group", "cron_group"),
        *("schedule_dead_letters", "relay_function", "sweeper_function", "bus_dead_letters", "relay_dead_letters"),
    )
    sqs, dynamodb = client("sqs"), client("dynamodb")
    return {
        **{name: getattr(names, name)(STAGE) for name in of_stage},
        "part": names.part(STAGE, "jobs"),
        "table": names.table(STAGE, "orders"),
        "outbox_index": names.outbox_index(),
        "flow_index": names.flow_index(),
        "payload_bucket": names.payload_bucket(STAGE, ACCOUNT, REGION),
        "scheduler_role": names.scheduler_role(STAGE, "jobs", REGION),
        "schedule": names.schedule("jobs", "0123456789abcdef" * 4),
        "queues": sorted(url.rpartition("/")[2] for url in sqs.list_queues()["QueueUrls"]),
        "tables": sorted(dynamodb.list_tables()["TableNames"]),
    }


def make_project(folder: Path) -> None:
    """Make the new folder a project as `celeriac new` makes it, installed from a package index."""
    from_an_index = folder.parent / "celeriac.dist-info"
    from_an_index.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "distribution", lambda _: PathDistribution(from_an_index))
        made = CliRunner().invoke(app, ["new", str(folder), "--defaults"])
    if made.exit_code != 0:
        raise RuntimeError(made.output)
    shutil.rmtree(folder / ".celeriac")  # what `celeriac update` makes again


def contents(folder: Path) -> dict[str, bytes]:
    """The content of each file, by its path."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }


def main(target: Path) -> None:
    """Write every file. Raises ValueError if the folder is named after another version than that of this code."""
    if target.name != VERSION:
        raise ValueError(f"this is {VERSION}, and the folder is {target.name}")
    target.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, released_application(Path(folder)) as work:
        for name, content in left_in_aws(work, Path(folder)).items():
            _write(target / f"{name}.json", content)
    with TemporaryDirectory() as folder:
        project = Path(folder) / "shop"
        make_project(project)
        shutil.rmtree(target / "project", ignore_errors=True)
        shutil.copytree(project, target / "project")
        _write(target / "stacks.json", stacks(project, Path(folder) / "out"))


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, indent=2, sort_keys=True, default=_text) + "\n")


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value))


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
