"""`celeriac dlq`: as an operator types it, against a stage in memory."""

import json
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from itertools import batched
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from celeriac import Backoff, Context, Queue, Reject, task
from celeriac.aws import sqs
from celeriac.aws.client import client
from celeriac.model import names
from celeriac.testing import Sandbox, WorkerDied
from celeriac.testing.account import lying_in
from celeriac_console.dlq import queue_reader as letters
from celeriac_console.main import app
from tests.support.faults import registered
from tests.support.redrive import received

shop = Queue("letters")
other = Queue("letters-other")
ledger = Queue("letters-ledger", fifo=True)
ran: list[tuple[str, Any]] = []
died: list[tuple[list[Any], list[Any], timedelta]] = []


class Now:
    """The state of the running test."""

    cured = False
    sandbox: Sandbox


@pytest.fixture(autouse=True)
def _empty(sandbox: Sandbox) -> None:
    Now.cured, Now.sandbox = False, sandbox
    ran.clear()


@task(shop, key="order", retry=Backoff(attempts=1))
def charge(ctx: Context, order: int, amount: int = 5) -> None:
    ran.append((ctx.id, (order, amount)))
    if not Now.cured:
        raise ConnectionError(f"no answer for order {order}")


@task(shop, former_queues=[other])
def refuse(order: int) -> None:
    ran.append(("", order))
    if not Now.cured:
        raise Reject("card declined")


@task(other)
def unused() -> None: ...


@task(ledger, retry=Backoff(attempts=1))
def book(number: int) -> None:
    ran.append(("book", number))
    if not Now.cured:
        raise ConnectionError


def _run(*arguments: str, **options: Any) -> Result:
    Now.sandbox.advance(timedelta(milliseconds=1))  # in moto, released messages can be received a moment later
    return CliRunner().invoke(app, ["--stage", "test", "dlq", *arguments], **options)


def test_a_filter_by_a_task_that_nobody_knows_is_warned_of() -> None:
    for command in (["redrive", "letters"], ["discard", "letters", "--yes"], ["list", "letters"]):
        told = _run(*command, "--task", "chrge")
        assert told.exit_code == 0
        assert "no task is named 'chrge' now. Did you mean charge?" in told.stderr
        assert "no task" not in _run(*command, "--task", "charge").stderr


def _json(*arguments: str) -> Any:
    *_, answer = _run(*arguments, "--json").stdout.splitlines()  # while the command waits, workers print their metrics
    return json.loads(answer)


@pytest.fixture
def dead(sandbox: Sandbox) -> Sandbox:
    """Twelve failed charges, three refused ones, and one unreadable body, as dead letters."""
    if died:
        _restore(sandbox)
        return sandbox
    start = sandbox.now
    charge.enqueue_many({"order": order} for order in range(12))
    refuse.enqueue_many({"order": order} for order in range(3))
    sandbox.send(shop, "not JSON")
    sandbox.drain()
    ran.clear()
    letters = lying_in(sqs.url("celeriac-test--letters-dlq"))
    records = client("dynamodb").scan(TableName=names.idempotency_table("test"))["Items"]
    assert {letter["Attributes"]["SentTimestamp"] for letter in letters} == {f"{start.timestamp() * 1000:.0f}"}
    died.append((letters, records, sandbox.now - start))
    return sandbox


def _restore(sandbox: Sandbox) -> None:
    """Put the letters that the first test made into the queue again: twenty tests look at the same letters."""
    letters, records, took = died[0]
    for few in batched(enumerate(letters), 10):
        client("sqs").send_message_batch(
            QueueUrl=sqs.url("celeriac-test--letters-dlq"),
            Entries=[
                {
                    "Id": str(number),
                    "MessageBody": letter["Body"],
                    "MessageAttributes": letter["MessageAttributes"],
                }
                for number, letter in few
            ],
        )
    puts: Any = [{"PutRequest": {"Item": record}} for record in records]
    client("dynamodb").batch_write_item(RequestItems={names.idempotency_table("test"): puts})
    sandbox.advance(took)


def _cure() -> None:
    Now.cured = True


def _counts(sandbox: Sandbox) -> Counter[str]:
    return Counter(letter.task for letter in sandbox.dead_letters(shop))


def test_letters_of_one_kind_of_failure_are_one_line(dead: Sandbox) -> None:
    kinds = _json("list", "letters")
    assert [(kind["count"], kind["task"], kind["reason"]) for kind in kinds] == [
        (12, "charge", "exhausted"),
        (3, "refuse", "rejected"),
        (1, "", "malformed"),
    ]
    shown = _run("list", "letters").output
    assert "16 dead letters of letters, of 3 kinds" in shown
    assert "12 charge: exhausted" in shown
    assert "ConnectionError: no answer for order" in shown


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--task", "charge"], 12),
        (["--error", "declined"], 3),
        (["--error", "connectionerror"], 12),
        (["--contains", '"order":7'], 1),
        (["--since", "1h"], 16),
        (["--until", "1h"], 0),
        (["--until", "2027-01-01T00:00", "--task", "refuse"], 3),
    ],
)
def test_filters_choose_letters(dead: Sandbox, options: list[str], found: int) -> None:
    assert sum(kind["count"] for kind in _json("list", "letters", *options)) == found


def test_a_kind_of_failure_is_a_filter(dead: Sandbox) -> None:
    kind = _json("list", "letters")[1]["kind"]
    assert [found["task"] for found in _json("list", "letters", "--error", kind)] == ["refuse"]


def test_listing_letters_hides_none_of_them(dead: Sandbox) -> None:
    for _ in range(3):
        assert sum(kind["count"] for kind in _json("list", "letters")) == 16
    dead.advance(timedelta(milliseconds=1))
    found = client("sqs").receive_message(QueueUrl=sqs.url("celeriac-test--letters-dlq"), MaxNumberOfMessages=10)
    assert len(found["Messages"]) == 10


def test_without_a_queue_every_queue_is_read(dead: Sandbox) -> None:
    _send_dead(ledger, '{"task": "book", "args": {"number": 1}}', MessageGroupId="g", MessageDeduplicationId="d")
    shown = _run("list").output
    assert "16 dead letters of letters, of 3 kinds" in shown
    assert "1 dead letter of letters-ledger, of 1 kind\n" in shown
    assert "after 1 attempt\n" in shown
    assert "no dead letters of " in shown
    counts = Counter[str]()
    for kind in _json("list"):
        counts[kind["queue"]] += kind["count"]
    assert counts == {"letters": 16, "letters-ledger": 1}
    assert sum(kind["count"] for kind in _json("list", "--limit", "3")) == 3


def test_other_queues_are_listed_even_if_one_is_not_deployed(sandbox: Sandbox) -> None:
    for name in ("celeriac-staging--letters", "celeriac-staging--letters-dlq"):
        client("sqs").create_queue(QueueName=name)
    client("sqs").send_message(QueueUrl=sqs.url("celeriac-staging--letters-dlq"), MessageBody='{"task": "refuse"}')
    sandbox.advance(timedelta(milliseconds=1))
    shown = CliRunner().invoke(app, ["--stage", "staging", "dlq", "list"])
    assert shown.exit_code == 0
    assert "1 dead letter of letters, of 1 kind\n" in shown.output
    (line,) = (line for line in shown.output.splitlines() if line.startswith("not deployed: "))
    not_deployed = line.removeprefix("not deployed: ").split(", ")
    # Other test modules of this process may have queues, too.
    assert {"letters-ledger", "letters-other"} <= set(not_deployed)
    assert "letters" not in not_deployed


def test_single_letters_are_shown_for_scripts_and_for_people(dead: Sandbox) -> None:
    found = _json("list", "letters", "--letters", "--task", "refuse")
    assert [(one["queue"], one["task"], one["args"]) for one in found] == [
        ("letters", "refuse", {"order": order}) for order in range(3)
    ]
    assert found[0]["message"] == "card declined"
    assert len(_json("list", "--letters", "--limit", "5")) == 5
    shown = _run("list", "letters", "--letters", "--task", "refuse").output.splitlines()
    assert shown[0] == "3 dead letters of letters"
    assert shown[1].endswith(f"{found[0]['id']}  refuse: rejected, celeriac.Reject: card declined")


def _send_dead(queue: Queue, body: str, **fields: Any) -> None:
    client("sqs").send_message(QueueUrl=sqs.url(queue.dead_letter_name("test")), MessageBody=body, **fields)


def test_one_letter_is_shown_whole_with_a_query_for_its_logs(dead: Sandbox) -> None:
    id_ = _json("list", "letters", "--task", "charge")[0]["example_id"]
    shown = _run("show", "letters", id_).output
    assert '"order":' in shown
    assert "raise ConnectionError" in shown
    assert "/aws/lambda/celeriac-test--letters" in shown
    assert f'filter id = "{id_}"' in shown
    assert _json("show", "letters", id_)["attempts"] == 1


def test_a_letter_of_a_million_characters_does_not_fill_the_terminal(sandbox: Sandbox) -> None:
    _send_dead(shop, "y" * 1_000_000)
    sandbox.advance(timedelta(milliseconds=1))
    (id_,) = (kind["example_id"] for kind in _json("list", "letters"))
    shown = _run("show", "letters", id_).output
    assert len(shown) < 25_000
    assert "... 980000 more characters: --json prints them all" in shown


def test_redriven_letters_keep_their_id_and_run_again(dead: Sandbox) -> None:
    ids = {letter.id for letter in dead.dead_letters(shop) if letter.task == "charge"}
    _cure()
    assert "12 of 12 dead letters of letters redriven" in _run("redrive", "letters", "--task", "charge").output
    dead.drain()
    assert {id_ for id_, _ in ran} == ids
    assert _counts(dead) == {"refuse": 3, "": 1}


@task(shop, retry=Backoff(attempts=1))
def ship(order: int) -> None:
    ran.append(("ship", order))
    if not Now.cured:
        raise ConnectionError


def test_letters_of_two_tasks_may_have_one_id(sandbox: Sandbox) -> None:
    for name in ("refuse", "ship"):
        for id_ in range(12):  # more than are chosen at once
            body = json.dumps({"task": name, "id": f"o-{id_}", "args": {"order": 1}})
            sqs.send("celeriac-test--letters", sqs.Entry(body))
    sandbox.drain()
    _cure()
    assert "24 of 24 dead letters" in _run("redrive", "letters").output
    sandbox.drain()
    assert sandbox.dead_letters(shop) == []


def test_a_second_letter_with_the_same_task_and_id_stays_and_is_reported(sandbox: Sandbox) -> None:
    for _ in range(2):
        body = json.dumps({"task": "ship", "id": "o-1", "args": {"order": 1}})
        sqs.send("celeriac-test--letters-dlq", sqs.Entry(body))
    told = _run("redrive", "letters")
    assert "1 of 1 dead letter of letters redriven" in told.stdout
    assert "1 more letter stays. It has the task and id of a redriven letter." in told.stderr
    assert len(sandbox.dead_letters(shop)) == 1


def test_a_letter_that_stays_beside_a_superfluous_one_runs_when_it_is_redriven_too(sandbox: Sandbox) -> None:
    charge.enqueue(order=1)
    deaths = [WorkerDied()]

    def die(**_: object) -> None:
        if deaths:
            raise deaths.pop()

    with registered("sqs", "after-call.sqs.SendMessage", die):
        sandbox.drain()  # the first worker has sent a letter, and didn't come to record it
    assert len(sandbox.dead_letters(shop)) == 2
    _cure()
    told = _run("redrive", "letters")
    assert "1 more letter stays." in told.stderr
    assert "Redrive once more what stays" in told.stderr
    sandbox.drain()
    _run("redrive", "letters")
    sandbox.drain()
    assert len(ran) == 3
    assert sandbox.dead_letters(shop) == []


def test_other_letters_are_redriven_even_if_sqs_refuses_a_batch_for_one_letter(dead: Sandbox) -> None:
    (unreadable,) = [letter.id for letter in dead.dead_letters(shop) if not letter.task]

    def refuse_all(params: dict[str, Any], **_: object) -> None:
        if any(one["MessageBody"] == "not JSON" for one in json.loads(params["body"])["Entries"]):
            raise ClientError({"Error": {"Code": "InvalidParameterValue", "Message": "no"}}, "SendMessageBatch")

    _cure()
    with registered("sqs", "before-call.sqs.SendMessageBatch", refuse_all):
        told = _run("redrive", "letters")
    assert told.exit_code == 1
    assert "15 of 16 dead letters of letters redriven" in told.stdout
    assert f"1 letter was not redriven. The first: {unreadable}: " in told.stderr
    dead.drain()
    assert _counts(dead) == {"": 1}


def test_a_redriven_letter_that_fails_again_can_be_redriven_again(dead: Sandbox) -> None:
    for _ in range(2):
        _run("redrive", "letters", "--task", "charge")
        dead.drain()
        assert _counts(dead) == {"charge": 12, "refuse": 3, "": 1}
    assert len(ran) == 24


def test_a_dry_run_sends_nothing(dead: Sandbox) -> None:
    sent = dead.calls["sqs", "SendMessageBatch"]
    assert sum(kind["count"] for kind in _json("redrive", "letters", "--dry-run")) == 16
    assert dead.calls["sqs", "SendMessageBatch"] == sent
    assert sum(_counts(dead).values()) == 16


def test_arguments_are_changed_for_many_and_checked_before_anything_is_sent(dead: Sandbox) -> None:
    _cure()
    wrong = _run("redrive", "letters", "--task", "charge", "--set", "amount=much")
    assert wrong.exit_code == 1
    assert "Expected `int`, got `str` - at `amount`" in wrong.output
    assert sum(_counts(dead).values()) == 16

    assert _run("redrive", "letters", "--task", "charge", "--set", "amount=7").exit_code == 0
    dead.drain()
    assert {amount for _, (_, amount) in ran} == {7}


def test_one_letter_is_edited_in_the_callers_editor(
    dead: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cure()
    editor = tmp_path / "editor.py"
    editor.write_text("import sys, json; json.dump({'order': 99, 'amount': 1}, open(sys.argv[1], 'w'))")
    monkeypatch.setenv("EDITOR", f"python3 {editor}")
    monkeypatch.delenv("VISUAL", raising=False)
    id_ = _json("list", "letters", "--task", "charge")[0]["example_id"]
    assert _run("redrive", "letters", "--id", id_, "--edit").exit_code == 0
    dead.drain()
    assert ran == [(id_, (99, 1))]
    assert _counts(dead) == {"charge": 11, "refuse": 3, "": 1}


def test_letters_go_to_another_queue(dead: Sandbox) -> None:
    _cure()
    _run("redrive", "letters", "--task", "refuse", "--to", "letters-other")
    counts = sqs.counts(sqs.url("celeriac-test--letters-other"))
    assert counts["ApproximateNumberOfMessages"] == 3


def test_a_redrive_ends_at_its_limit(dead: Sandbox) -> None:
    answer = _json("redrive", "letters", "--task", "charge", "--limit", "4")
    assert answer == {"matched": 4, "redriven": 4, "problems": []}
    assert _counts(dead)["charge"] == 8


def test_a_redrive_keeps_its_rate(dead: Sandbox) -> None:
    _cure()
    start = dead.now
    assert _json("redrive", "letters", "--task", "charge", "--rate", "0.2")["redriven"] == 12
    assert dead.now - start >= timedelta(seconds=11 / 0.2)


def test_a_discard_keeps_its_rate(dead: Sandbox) -> None:
    start = dead.now
    assert _json("discard", "letters", "--task", "charge", "--rate", "0.2", "--yes") == {"discarded": 12}
    assert dead.now - start >= timedelta(seconds=11 / 0.2)
    assert _counts(dead) == {"refuse": 3, "": 1}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_redrive_that_is_killed_at_any_call_loses_nothing_and_the_next_one_finishes(
    dead: Sandbox, *, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cure()
    monkeypatch.setattr(letters, "WORKERS", 1)
    for call in range(2, 12):
        with dead.worker():
            dead.crash_at(call, after=after)
            with suppress(WorkerDied):
                _run("redrive", "letters", "--task", "charge")
        dead.advance(letters.HIDDEN + timedelta(seconds=1))
    dead.crash_at(10_000)  # the last redrives make fewer calls: the next worker to call AWS isn't theirs
    _run("redrive", "letters", "--task", "charge")
    dead.drain()
    assert sorted(order for _, (order, _) in ran) == list(range(12))  # each ran exactly once
    assert _counts(dead) == {"refuse": 3, "": 1}


def test_an_interrupted_pass_releases_its_letters(dead: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: object) -> set[str]:
        raise KeyboardInterrupt

    reading = letters.Pass(shop, workers=1)
    with pytest.raises(KeyboardInterrupt):
        reading.run(interrupt)
    dead.advance(timedelta(milliseconds=1))
    assert sqs.counts(sqs.url("celeriac-test--letters-dlq"))["ApproximateNumberOfMessages"] == 16


def test_a_letter_that_sqs_moved_itself_is_handled_like_any_other(sandbox: Sandbox) -> None:
    client("sqs").send_message(
        QueueUrl=sqs.url("celeriac-test--letters-dlq"), MessageBody='{"task": "charge", "args": {"order": 1}}'
    )
    assert _json("list", "letters")[0]["reason"] == "received too often"
    _cure()
    _run("redrive", "letters")
    sandbox.drain()
    assert [args for _, args in ran] == [(1, 5)]
    assert sandbox.dead_letters(shop) == []


def test_letters_redriven_by_aws_itself_run_too(dead: Sandbox) -> None:
    """AWS sends a letter's body and attributes as a new message with a new id."""
    _cure()
    for message in received("celeriac-test--letters-dlq"):
        client("sqs").send_message(
            QueueUrl=sqs.url("celeriac-test--letters"),
            MessageBody=message["Body"],
            MessageAttributes=message.get("MessageAttributes", {}),
        )
        client("sqs").delete_message(
            QueueUrl=sqs.url("celeriac-test--letters-dlq"), ReceiptHandle=message["ReceiptHandle"]
        )
    dead.drain()
    assert len(ran) >= 9
    dead.advance(timedelta(minutes=1))
    _run("redrive", "letters", "--error", "exhausted")
    _run("redrive", "letters", "--error", "rejected")
    dead.drain()
    assert len(ran) == 15


def test_a_fifo_queue_is_redriven_in_the_order_of_its_groups(sandbox: Sandbox) -> None:
    for number in range(5):
        book.options(group="g").enqueue(number=number)
    sandbox.drain()
    ran.clear()
    _cure()
    for _ in range(3):
        _run("redrive", "letters-ledger")
        sandbox.drain()
    assert ran == [("book", number) for number in range(5)]
    assert sandbox.dead_letters(ledger) == []


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["list", "leters"], 2, "no queue is named 'leters'. Did you mean letters?"),
        (["show", "letters", "nobody"], 2, "no dead letter of letters has the id nobody"),
        (["redrive", "letters", "--set", "amount"], 2, "is written name=value, not 'amount'"),
        (["redrive", "letters", "--edit"], 2, "name it with --id"),
        (["list", "letters", "--since", "soon"], 2, "'soon' is no time: write e.g. 2h"),
        (["import", "letters", "/nowhere.jsonl"], 2, "there is no file /nowhere.jsonl"),
    ],
)
def test_a_mistake_is_explained_in_a_sentence(dead: Sandbox, arguments: list[str], code: int, sentence: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == code
    assert sentence in result.output


def test_letters_that_could_not_be_read_are_counted(sandbox: Sandbox) -> None:
    for number in range(15):
        book.options(group="g").enqueue(number=number)
    sandbox.drain()
    shown = _run("list", "letters-ledger")
    assert "10 dead letters of letters-ledger" in shown.output
    assert "5 more could not be read" in shown.output
    assert shown.exit_code == 1


def test_letters_that_another_reader_holds_are_counted(dead: Sandbox) -> None:
    client("sqs").receive_message(QueueUrl=sqs.url("celeriac-test--letters-dlq"), MaxNumberOfMessages=6)
    shown = _run("list", "letters")
    assert "10 dead letters" in shown.output
    assert "6 more could not be read" in shown.output


def test_a_redriven_body_without_an_id_gets_a_permanent_one(sandbox: Sandbox) -> None:
    client("sqs").send_message(
        QueueUrl=sqs.url("celeriac-test--letters-dlq"), MessageBody='{"task": "refuse", "args": {"order": 1}}'
    )
    _cure()
    with suppress(WorkerDied), sandbox.worker():
        sandbox.crash_at(_calls_until(sandbox, "SendMessageBatch"), after=True)  # sent, and not deleted
        _run("redrive", "letters")
    sandbox.drain()
    sandbox.advance(letters.HIDDEN + timedelta(seconds=1))
    _run("redrive", "letters")
    sandbox.drain()
    assert len(ran) == 1


def _calls_until(sandbox: Sandbox, operation: str) -> int:
    """The number of this call in a redrive: two counts of the queue, a receive, and then the send."""
    return {"SendMessageBatch": 4}[operation]


def test_a_dry_run_checks_changed_arguments(dead: Sandbox) -> None:
    dry = _run("redrive", "letters", "--task", "charge", "--set", "amount=much", "--dry-run")
    assert dry.exit_code == 1
    assert "12 letters were not redriven. The first: " in dry.output


def test_an_unknown_id_is_a_mistake(dead: Sandbox) -> None:
    told = _run("redrive", "letters", "--id", "nobody")
    assert (told.exit_code, "has the id nobody" in told.output) == (2, True)


def test_a_reference_names_a_letter(sandbox: Sandbox) -> None:
    handle = charge.enqueue(order=7)
    charge.enqueue(order=8)
    sandbox.drain()
    assert _json("redrive", "letters", "--id", handle.ref)["redriven"] == 1


def test_a_list_ends_exactly_at_its_limit(dead: Sandbox) -> None:
    assert sum(kind["count"] for kind in _json("list", "letters", "--limit", "5")) == 5


def test_control_characters_in_a_letter_do_not_reach_the_terminal(sandbox: Sandbox) -> None:
    @task(shop, retry=Backoff(attempts=1))
    def spoof() -> None:
        raise ValueError("\x1b[2Jall is well [bold]and[/bold] :key:")

    spoof.enqueue()
    sandbox.drain()
    assert "\x1b" not in _run("list", "letters").output
    assert "\\x1b[2Jall is well [bold]and[/bold] :key:" in _run("list", "letters").output
    id_ = _json("list", "letters")[0]["example_id"]
    assert "\x1b[2J" not in _run("show", "letters", id_).output


@pytest.mark.parametrize("rate", ["inf", "0", "fast", "nan"])
def test_an_invalid_rate_is_refused(dead: Sandbox, rate: str) -> None:
    assert _run("redrive", "letters", "--rate", rate).exit_code == 2


def test_a_letter_that_fails_again_during_a_redrive_is_not_redriven_twice(dead: Sandbox) -> None:
    assert _json("redrive", "letters", "--task", "charge", "--rate", "0.2")["redriven"] == 12
    dead.drain()
    assert len(ran) == 12
    assert _counts(dead)["charge"] == 12


def test_a_rate_may_have_a_unit(dead: Sandbox) -> None:
    assert _json("redrive", "letters", "--task", "charge", "--rate", "500/s")["redriven"] == 12
