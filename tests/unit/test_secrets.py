"""A payload is never logged, measured or traced, in any outcome of its task."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aws_lambda_powertools import Logger

import celeriac
from celeriac import Backoff, Context, Outbox, Queue, Reject, Retry, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.observe.log import logger
from celeriac.observe.trace import follow
from celeriac.testing import Sandbox
from tests.application import tables
from tests.support.faults import out_of_reach, refused

SECRET = "correct-horse-battery-staple"

jobs = Queue("secret-jobs", concurrency=3, timeout=timedelta(seconds=5), max_body_bytes=4096)
ledger = Queue("secret-ledger", fifo=True)
ended: list[str] = []


@pytest.fixture(autouse=True)
def _log_everything(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let everybody log at every level, and set the trace header."""
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1")
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    level = logger.log_level
    logger.setLevel("DEBUG")
    ended.clear()
    yield
    logger.setLevel(level)
    follow(None)


class LeakyError(Exception):
    """A provider's error that quotes the request in its text."""

    def __repr__(self) -> str:
        return f"Leaky({SECRET})"


@task(jobs, key="secret", retry=Backoff(attempts=2))
def do(ctx: Context, secret: str, then: str, filler: str = "") -> dict[str, str] | object:
    ended.append(then)
    match then:
        case "reject":
            raise Reject(f"no such customer: {secret}")
        case "fail":
            raise LeakyError(f"could not charge {secret}") from ValueError(secret)
        case "wait":
            raise Retry(f"{secret} is busy", delay=timedelta(hours=1))
        case "overrun":
            raise SystemExit(secret)
        case "no JSON":
            return {secret}
        case "too much":
            return {"all": secret * 20_000}
        case "commit":
            with ctx.transaction() as tx:
                tx.put("orders", {"pk": f"{secret}-{ctx.id}", "name": secret})
                tx.emit("secret.event", {"secret": secret}, aggregate=secret)
                tx.enqueue(note, secret=secret)
            raise LeakyError(secret)
        case "conflict":
            with ctx.transaction() as tx:
                tx.put("orders", {"pk": secret}, condition="attribute_exists(pk)")
    return {"secret": secret}


@task(jobs, key="secret", on="secret.*")
async def note(secret: str) -> None:
    ended.append("note")
    raise LeakyError(secret)


@task(ledger, on="secret.event", retry=Backoff(base=timedelta(seconds=1), attempts=2))
def book(secret: str) -> None:
    ended.append("book")
    raise LeakyError(secret)


@task(jobs, delivery="at_most_once", key="secret")
def once(secret: str) -> None:
    ended.append("once")


def _send(**message: Any) -> None:
    _send_body(json.dumps(message))


def _send_body(body: str) -> None:
    client("sqs").send_message(QueueUrl=sqs.url(jobs.physical_name("test")), MessageBody=body)


def _run_into_every_outcome(sandbox: Sandbox) -> None:
    ways = ("succeed", "reject", "fail", "wait", "overrun", "no JSON", "too much", "commit", "conflict")
    for then in ways:
        do.options(key=f"{SECRET}-{then}").enqueue(secret=SECRET, then=then)
    do.options(key="large").enqueue(secret=SECRET, then="succeed", filler=SECRET * 300)
    for _ in range(2):
        do.options(key="duplicate").enqueue(secret=SECRET, then="succeed")
    sandbox.drain()
    # Bodies that can't be read, unknown tasks, and arguments that don't fit.
    for body in (
        SECRET,
        json.dumps([SECRET]),
        json.dumps({"v": 99, "secret": SECRET}),
        json.dumps({"task": 5, "s": SECRET}),
    ):
        _send_body(body)
    _send(task="do", args={"secret": {"not": SECRET}, "then": "x"})
    _send(task="do", args={"secret": SECRET, SECRET: 1})
    _send(task="gone", args={"secret": SECRET})
    _send(task="do", key=SECRET, stored=f"args/{SECRET}")
    sandbox.drain()
    # Workers that die, and AWS out of reach.
    for call in range(1, 6):
        once.options(key=f"{SECRET}-{call}").enqueue(secret=SECRET)
        do.options(key=f"{SECRET}-again-{call}").enqueue(secret=SECRET, then="commit")
        sandbox.crash_at(call, after=True)
        sandbox.run_once()
        sandbox.advance(jobs.visibility)
    with out_of_reach("dynamodb", "PutItem"):
        do.enqueue(secret=f"{SECRET}-2", then="succeed")
        sandbox.run_once()
    with out_of_reach("sqs", "SendMessage"):
        do.enqueue_many([{"secret": f"{SECRET}-3", "then": "fail"}])
        sandbox.run_once()
    with refused(lambda message: SECRET in json.dumps(message), times=3):
        with celeriac.transaction() as tx:
            tx.emit("secret.event", {"secret": SECRET}, aggregate=SECRET)
        sandbox.run_once()
    # An event that can't be published, and one that the sweeper must publish.
    with celeriac.transaction() as tx:
        tx.emit("secret.event", {"secret": SECRET * 13_000})
    sandbox.advance(timedelta(hours=2))
    sandbox.drain()


def test_a_secret_in_a_payload_is_in_no_log_no_metric_and_no_trace(
    sandbox: Sandbox,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG", logger=Logger().name)
    _run_into_every_outcome(sandbox)
    told = capfd.readouterr()
    written = [
        *told.out.splitlines(),
        *told.err.splitlines(),
        *(json.dumps(vars(record), default=str) for record in caplog.records),
    ]

    assert {"succeed", "fail", "commit", "note", "book", "once"} <= set(ended)
    assert len(written) > 100
    assert [line for line in written if SECRET in line] == []
