"""`celeriac smoke`: a probe arrives on each way, or the command names the way that is broken."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from celeriac import Queue, task
from celeriac.aws import pause, sqs
from celeriac.declare import probe
from celeriac.model.errors import TaskError
from celeriac.relay import unpublished
from celeriac.testing import Call, Sandbox, account
from celeriac_console.main import app
from celeriac_console.stage.clients import client as operators_client
from tests.support.faults import registered

mail = Queue("smoked-mail", timeout=timedelta(seconds=30), concurrency=3, batch_size=10)
ledger = Queue("smoked-ledger", fifo=True)
leaving = Queue("smoked-leaving", retired=True)
OURS = ("smoked-mail", "smoked-ledger")


@task(mail)
def send() -> None: ...


@task(ledger)
def book() -> None: ...


@task(leaving)
def leave() -> None: ...


def smoke(*queues: str, told: str = "problem") -> tuple[int, dict[tuple[str, str], Any]]:
    """The exit code, and the problem of each step, or why it wasn't tried."""
    done = CliRunner().invoke(app, ["--stage", "test", "smoke", "--json", *queues])
    (found,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return done.exit_code, {(each["queue"], each["step"]): each[told] for each in found}


@contextmanager
def denied(service: Any, operation: str, *, on: str = "") -> Iterator[None]:
    """A permission is missing: every call is refused, or each on a resource whose name holds `on`."""

    def refuse(params: dict[str, Any], **_: object) -> None:
        if on in str(params.get("body", "")):
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, operation)

    with registered(service, f"before-call.{service}.{operation}", refuse):
        yield


def test_a_probe_takes_each_way_and_leaves_nothing_behind(sandbox: Sandbox) -> None:
    code, found = smoke(*OURS)
    assert found == {
        ("smoked-mail", "queue"): None,
        ("smoked-mail", "dead letter"): None,
        ("smoked-mail", "schedule"): None,
        ("smoked-mail", "outbox"): None,
        ("smoked-ledger", "queue"): None,
        ("smoked-ledger", "dead letter"): None,
        ("smoked-ledger", "outbox"): None,
    }
    assert code == 0
    sandbox.drain()
    for queue in (mail, ledger):
        assert sandbox.dead_letters(queue) == []
    assert unpublished.lag() == (None, 0)


def test_all_queues_but_retired_ones_are_tried_by_default(sandbox: Sandbox) -> None:
    said = CliRunner().invoke(app, ["--stage", "test", "smoke"], env={"COLUMNS": "200"})
    assert said.exit_code == 0, said.output
    assert "smoked-leaving" not in said.output
    assert {"smoked-mail", "smoked-ledger"} <= set(said.output.split())
    assert "The stage test works" in said.output
    assert CliRunner().invoke(app, ["--stage", "test", "smoke", "smoked-leaving"]).exit_code == 2


def test_a_dead_letter_queue_that_the_consumer_cant_send_to_is_found(sandbox: Sandbox) -> None:
    with denied("sqs", "SendMessage", on="smoked-mail-dlq"):
        code, found = smoke("smoked-mail")
    assert code == 1
    assert [step for (_, step), problem in found.items() if problem] == ["dead letter"]
    assert "celeriac-test--smoked-mail-dlq" in found["smoked-mail", "dead letter"]


def test_a_schedule_that_sends_nothing_is_found(sandbox: Sandbox) -> None:
    """As if its role were gone: Scheduler's call isn't the caller's."""

    def leave_out(params: dict[str, Any], **_: object) -> None:
        params["body"] = params["body"].replace(b"at(2026", b"at(2027")

    with registered("scheduler", "before-call.scheduler.CreateSchedule", leave_out):
        code, found = smoke("smoked-mail")
    assert code == 1
    assert [step for (_, step), problem in found.items() if problem] == ["schedule"]
    assert "after 150 s Scheduler hasn't sent" in found["smoked-mail", "schedule"]


def test_a_relay_that_publishes_nothing_is_found_before_the_sweeper_hides_it(sandbox: Sandbox) -> None:
    def refuse(call: Call) -> Any:
        if call.operation == "SendMessageBatch":  # the consumer and the operator send single messages
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, call.operation)
        return call.make()

    with sandbox.fault(refuse):
        code, found = smoke("smoked-mail")
    assert code == 1
    assert [step for (_, step), problem in found.items() if problem] == ["outbox"]
    assert "the relay has published nothing for 45 s" in found["smoked-mail", "outbox"]
    sandbox.drain()
    assert unpublished.lag() == (None, 0)


@pytest.mark.parametrize(
    ("service", "operation", "broken"),
    [
        ("dynamodb", "UpdateItem", {"queue", "dead letter", "schedule", "outbox"}),
        ("dynamodb", "TransactWriteItems", {"outbox"}),
    ],
)
def test_a_missing_right_of_the_consumer_is_found(
    sandbox: Sandbox, service: str, operation: str, broken: set[str]
) -> None:
    with denied(service, operation):
        code, found = smoke("smoked-mail")
    assert code == 1
    assert {step for (_, step), problem in found.items() if problem} == broken


def test_a_probe_waits_for_its_turn_behind_a_backlog(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(60):
        send.enqueue()
    comes_at = sandbox.now + timedelta(minutes=3)

    def wait(seconds: float) -> None:
        """For three minutes all workers are busy with what came before."""
        sandbox.advance(timedelta(seconds=seconds))
        if sandbox.now > comes_at:
            sandbox.run_once()

    monkeypatch.setattr(pause, "wait", wait)
    code, found = smoke("smoked-mail")
    assert (code, set(found.values())) == (0, {None})
    assert sandbox.now > comes_at
    monkeypatch.undo()


def test_a_backlog_that_doesnt_end_is_named(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(60):
        send.enqueue()
    begun = sandbox.now
    monkeypatch.setattr(pause, "wait", lambda seconds: sandbox.advance(timedelta(seconds=seconds)))
    code, found = smoke("smoked-mail", told="not_tried")
    assert code == 0  # a release that ends the backlog must not be taken back
    assert all("behind a backlog" in each for each in found.values())
    assert timedelta(minutes=10) <= sandbox.now - begun < timedelta(minutes=11)
    monkeypatch.undo()


def test_dead_letters_that_lie_there_are_not_received(sandbox: Sandbox) -> None:
    """SQS leaves letters that were received three times out of the age that the last alarm watches."""
    sandbox.send(mail, "no message")
    sandbox.drain()
    for _ in range(3):
        code, found = smoke("smoked-mail", told="not_tried")
        assert code == 0
        assert found["smoked-mail", "dead letter"].startswith("there are 1 dead letter already")
    (letter,) = account.queue(sqs.url(mail.dead_letter_name("test")))._messages
    assert letter.approximate_receive_count == 0


def test_a_failed_smoke_test_takes_back_the_probe_that_would_become_a_letter(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer runs again later, before the probe's time is over."""
    monkeypatch.setattr(pause, "wait", lambda seconds: sandbox.advance(timedelta(seconds=seconds)))
    code, found = smoke("smoked-mail")
    assert code == 1
    assert "no letter of it" in found["smoked-mail", "dead letter"]
    monkeypatch.undo()
    sandbox.drain()
    assert sandbox.dead_letters(mail) == []


def test_a_stage_of_which_nothing_could_be_tried_isnt_said_to_work(sandbox: Sandbox) -> None:
    mapping = {"UUID": "u", "State": "Disabled"}

    def listed(**_: object) -> Any:
        return type("Answer", (), {"status_code": 200}), {"EventSourceMappings": [mapping]}

    events = operators_client("lambda").meta.events
    events.register("before-call.lambda.ListEventSourceMappings", listed)
    try:
        done = CliRunner().invoke(app, ["--stage", "test", "smoke", "smoked-mail"], env={"COLUMNS": "200"})
    finally:
        events.unregister("before-call.lambda.ListEventSourceMappings", listed)
    assert done.exit_code == 0  # what mends an incident must not be taken back because of it
    assert "it is paused: celeriac --stage test resume smoked-mail" in done.output
    assert "Nothing of the stage test could be tried" in done.output


def test_an_interrupted_smoke_test_cancels_the_probe_that_would_become_a_letter(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pause, "wait", wait)
    assert CliRunner().invoke(app, ["--stage", "test", "smoke", "smoked-mail"]).exit_code == 130
    monkeypatch.undo()
    sandbox.drain()
    assert sandbox.dead_letters(mail) == []


@pytest.mark.parametrize("until", ["2999-01-01T00:00:00Z", "2026-01-01T00:05:00"])
def test_a_senders_own_probe_ends_soon_or_is_malformed(sandbox: Sandbox, until: str) -> None:
    name = probe.name("smoked-mail")
    sandbox.send(mail, {"task": name, "args": {"wish": "reject", "until": until}})
    sandbox.drain()
    reasons = [letter.failure.reason for letter in sandbox.dead_letters(mail) if letter.failure is not None]
    assert reasons == ([] if until.endswith("Z") else ["malformed"])


@pytest.mark.parametrize(("outputs", "code"), [([], 2), ([{"OutputKey": "Probes", "OutputValue": "1"}], 0)])
def test_a_release_that_knows_no_probes_gets_none(sandbox: Sandbox, outputs: list[dict[str, str]], code: int) -> None:
    stack = {"StackName": "celeriac-test--work", "Outputs": outputs}

    def described(**_: object) -> Any:
        return type("Answer", (), {"status_code": 200}), {"Stacks": [stack]}

    events = operators_client("cloudformation").meta.events
    events.register("before-call.cloudformation.DescribeStacks", described)
    try:
        done = CliRunner().invoke(app, ["--stage", "test", "smoke", "smoked-mail"])
    finally:
        events.unregister("before-call.cloudformation.DescribeStacks", described)
    assert done.exit_code == code, done.output
    assert account.holds_messages(sqs.url(mail.physical_name("test"))) is False


def test_an_interrupted_smoke_test_removes_its_letter(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(seconds: float) -> None:
        sandbox.run_once()
        assert len(sandbox.dead_letters(mail)) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(pause, "wait", wait)
    assert CliRunner().invoke(app, ["--stage", "test", "smoke", "smoked-mail"]).exit_code == 130
    monkeypatch.undo()
    sandbox.drain()
    assert sandbox.dead_letters(mail) == []


def test_a_missing_right_of_the_operator_is_said_in_words(sandbox: Sandbox) -> None:
    with denied("scheduler", "CreateSchedule"):
        code, found = smoke("smoked-mail")
    assert code == 1
    assert "you may not perform" in found["smoked-mail", "schedule"]


def test_a_probe_that_comes_when_nobody_waits_does_nothing(sandbox: Sandbox) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    for wish in ("reject", "publish"):
        assert probe.of(mail).enqueue(wish, past).result() == "too late"
    assert sandbox.dead_letters(mail) == []
    assert account.oldest_unpublished("test") is None


def test_the_probe_of_another_queue_is_an_unknown_task(sandbox: Sandbox) -> None:
    """Who may send to one queue can't have another's probe run there."""
    sandbox.send(mail, {"task": probe.name("smoked-ledger"), "args": {"wish": "run", "until": "2030-01-01T00:00:00Z"}})
    sandbox.drain()
    (letter,) = sandbox.dead_letters(mail)
    assert letter.failure is not None
    assert letter.failure.reason == "unknown task"


def test_probes_are_in_no_metric_and_in_no_list(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    probe.of(mail).enqueue("reject", datetime.now(UTC) + timedelta(hours=1))
    sandbox.drain()
    assert '"_aws"' not in capsys.readouterr().out
    assert "probe" not in CliRunner().invoke(app, ["--stage", "test", "tasks"]).output


def test_no_task_of_an_application_can_be_called_like_a_probe() -> None:
    with pytest.raises(TaskError, match="Celeriac's own tasks begin with"):
        task(mail, name="celeriac.probe.smoked-mail")(lambda: None)
