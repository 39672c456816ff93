"""The other commands of `celeriac`, as an operator types them."""

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from typer.testing import CliRunner, Result

import celeriac
from celeriac import Backoff, Context, Queue, task
from celeriac.aws.client import client
from celeriac.consume import quarantine
from celeriac.declare import registry
from celeriac.model import given, settings
from celeriac.testing import Sandbox
from celeriac_console.doctor import stacks as doctor_stacks
from celeriac_console.main import app
from celeriac_console.stage.clients import client as operators_client
from celeriac_console.terminal import next_steps
from tests.support.faults import registered

shop = Queue("console", max_concurrency=7)
ran: list[str] = []


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    ran.clear()
    return iter(())


@task(shop, key="order", retry=Backoff(attempts=1))
def charge(ctx: Context, order: str, fail: str = "no") -> dict[str, str]:
    ran.append(order)
    if fail == "yes":
        raise ConnectionError("no answer")
    return {"charge": order}


@task(shop, on="order.*", retry=Backoff(attempts=3, give_up_after=timedelta(days=2)))
def notify(order: str) -> None: ...


@task(shop, cron="cron(0 3 * * ? *)", timezone="Europe/Berlin", retry=Backoff(attempts=1))
def nightly(day: str = "yesterday") -> None: ...


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--stage", "test", *arguments])


def test_a_task_is_sent_from_arguments_text_file_or_standard_input(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "args.json"
    file.write_text('{"order": "file"}')
    for arguments in (["--arg", "order=arg"], ["--json", '{"order": "text"}'], ["--json", str(file)]):
        assert _run("send", "charge", *arguments).exit_code == 0
    CliRunner().invoke(app, ["--stage", "test", "send", "charge", "--json", "-"], input='{"order": "stdin"}')
    sandbox.drain()
    assert sorted(ran) == ["arg", "file", "stdin", "text"]


def test_a_task_is_sent_later_and_many_times(sandbox: Sandbox) -> None:
    start = sandbox.now
    sent = _run("send", "notify", "--arg", "order=1", "--count", "12", "--delay", "2h")
    assert len(set(sent.stdout.split())) == 12
    sandbox.drain()
    assert sandbox.now - start >= timedelta(hours=2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chrge"], "Did you mean charge?"),
        (["charge"], "missing a required argument: 'order'"),
        (["charge", "--json", '{"order": 7}'], "Expected `str`, got `int` - at `order`"),
        (["charge", "--json", "/nowhere.json"], "/nowhere.json: No such file"),
        (["charge", "--json", "[1]"], "--json takes a JSON object"),
        (["charge", "--arg", "order=a", "--delay", "soon"], "'soon' is no length of time"),
        (["charge", "--arg", "order=a", "--delay", "900d"], "lies between nothing and a year"),
    ],
)
def test_send_explains_in_a_sentence_why_it_cannot_send(sandbox: Sandbox, arguments: list[str], sentence: str) -> None:
    told = _run("send", *arguments)
    assert told.exit_code == 2
    assert sentence in told.output


def test_tasks_shows_every_declaration(sandbox: Sandbox) -> None:
    shown = _run("tasks").output
    assert "charge(order: str, fail: str = 'no')" in shown
    assert "queue console, effectively_once by order, a single attempt" in shown
    assert "3 attempts, from 1 min x2 to 1 h, given up after 2 d" in shown
    assert "called by the event order.*" in shown
    assert "called by cron(0 3 * * ? *) Europe/Berlin" in shown
    tasks = {row["task"]: row for row in json.loads(_run("tasks", "--json").output)}
    assert tasks["charge"]["key"] == "order"


def test_queues_counts_waiting_messages_and_dead_letters(sandbox: Sandbox) -> None:
    charge.enqueue(order="o-1")
    rows = {row["queue"]: row for row in json.loads(_run("queues", "--json").output)}
    assert rows["console"] | {"oldest_seconds": None} == {
        "queue": "console",
        "waiting": 1,
        "delayed": 0,
        "scheduled": 0,
        "scheduled_is_more": False,
        "in_flight": 0,
        "dead": 0,
        "oldest_seconds": None,
        "consumer": "none",
        "alarm": "none",
        "limits": {},
    }
    assert _run("queues").exit_code == 1  # no consumer is deployed that would take the message


def test_a_queue_that_is_not_deployed_has_its_row(sandbox: Sandbox) -> None:
    for name in ("celeriac-staging--console", "celeriac-staging--console-dlq"):
        client("sqs").create_queue(QueueName=name)
    shown = CliRunner().invoke(app, ["--stage", "staging", "queues"])
    assert (shown.exit_code, shown.stderr) == (1, "")
    rows = [line.split() for line in shown.output.splitlines()]
    assert ["console", "0", "0", "0", "0", "0", "-", "none", "none"] in rows
    assert ["desk", "-", "-", "-", "-", "-", "-", "not", "deployed", "none"] in rows
    told = json.loads(CliRunner().invoke(app, ["--stage", "staging", "queues", "--json"]).stdout)
    found = {row["queue"]: row for row in told}
    assert (found["desk"]["consumer"], found["desk"]["waiting"]) == ("not deployed", None)


def test_a_stage_with_nothing_deployed_is_named_together_with_the_deployed_stages(sandbox: Sandbox) -> None:
    shown = CliRunner().invoke(app, ["--stage", "staging", "queues"])
    assert shown.exit_code == 1
    assert "not deployed" in shown.stdout
    assert "Nothing of the stage staging is deployed. Stages here: test." in shown.stderr
    listed = CliRunner().invoke(app, ["--stage", "staging", "dlq", "list"])
    assert (listed.exit_code, "Stages here: test." in listed.stderr) == (2, True)


@pytest.fixture
def consumer(sandbox: Sandbox) -> Iterator[dict[str, Any]]:
    """A consumer's event source mapping, as Lambda describes it. With a real mapping, moto would poll the queue."""
    mapping: dict[str, Any] = {
        "UUID": "u-1",
        "EventSourceArn": "arn:aws:sqs:eu-west-1:123456789012:celeriac-test--console",
        "State": "Enabled",
        "BatchSize": 10,
        "ScalingConfig": {"MaximumConcurrency": 7},
    }

    def listed(params: dict[str, Any], **_: object) -> Any:
        mine = "celeriac-test--console" in str(params["query_string"])
        return type("Answer", (), {"status_code": 200}), {"EventSourceMappings": [mapping] if mine else []}

    def switched(params: dict[str, Any], **_: object) -> Any:
        mapping["State"] = "Enabling" if json.loads(params["body"])["Enabled"] else "Disabling"
        return type("Answer", (), {"status_code": 202}), mapping

    events = operators_client("lambda").meta.events
    events.register("before-call.lambda.ListEventSourceMappings", listed)
    events.register("before-call.lambda.UpdateEventSourceMapping", switched)
    yield mapping
    events.unregister("before-call.lambda.ListEventSourceMappings", listed)
    events.unregister("before-call.lambda.UpdateEventSourceMapping", switched)


def test_a_consumer_is_paused_and_resumed(consumer: dict[str, Any]) -> None:
    assert "console: paused" in _run("pause", "console").output
    assert consumer["State"] == "Disabling"
    assert json.loads(_run("queues", "--json").output)[0]["consumer"] in {"paused", "none"}
    assert "console: on" in _run("resume", "console").output
    assert consumer["State"] == "Enabling"


def test_a_queue_that_is_not_deployed_cannot_be_paused(sandbox: Sandbox) -> None:
    paused = _run("pause", "console")
    assert paused.exit_code == 2
    assert "has no consumer in stage 'test': deploy it" in paused.output


def test_quarantine_is_added_listed_and_lifted(sandbox: Sandbox) -> None:
    assert "nothing is in quarantine" in _run("quarantine", "list").output
    assert "celeriac --stage test quarantine lift --task charge" in _run("quarantine", "add", "--task", "charge").output
    _run("quarantine", "add", "--kind", "abc")
    assert json.loads(_run("quarantine", "list", "--json").output) == ["failure:abc", "task:charge"]
    assert quarantine.entries() == {"failure:abc", "task:charge"}
    _run("quarantine", "lift", "--task", "charge")
    assert quarantine.entries() == {"failure:abc"}
    assert "isn't in quarantine" in _run("quarantine", "lift", "--task", "charge").output
    assert "Did you mean charge?" in _run("quarantine", "add", "--task", "chrge").output
    assert "give one of --task and --kind" in _run("quarantine", "add").output


def test_doctor_names_each_finding_with_its_cure(consumer: dict[str, Any]) -> None:
    client("sqs").set_queue_attributes(
        QueueUrl=client("sqs").get_queue_url(QueueName="celeriac-test--console")["QueueUrl"],
        Attributes={"VisibilityTimeout": "1"},
    )
    consumer["State"] = "Disabled"

    def missing(**_: object) -> None:
        raise ClientError({"Error": {"Code": "ValidationError", "Message": "no such stack"}}, "DescribeStacks")

    events = operators_client("cloudformation").meta.events
    events.register("before-call.cloudformation.DescribeStacks", missing)
    found = _run("doctor")
    assert found.exit_code == 1
    assert "ok    stacks: the stage is in a stack of the application's own, so" in found.output
    drift = "WRONG queue console: VisibilityTimeout is 1, declared 180"
    assert f"{drift}\n      deploy it: run cdk deploy for test\n" in found.output
    assert "WRONG consumer console: disabled\n      celeriac --stage test resume console" in found.output
    assert "ok    tables celeriac-test--idempotency, celeriac-test--outbox, celeriac-test--flow" in found.output
    findings = json.loads(_run("doctor", "--json").output)
    events.unregister("before-call.cloudformation.DescribeStacks", missing)
    assert {"what": "outbox: 0 parked", "ok": True, "cure": None} in findings


@pytest.mark.parametrize(
    ("stage", "makefile", "advice"),
    [
        ("local", True, "deploy it: make up"),
        ("local", False, "deploy it: celeriac local up"),
        ("prod", True, "deploy it: make deploy STAGE=prod"),
        ("prod", False, "deploy it: run cdk deploy for prod"),
    ],
)
def test_make_is_advised_only_where_there_is_a_makefile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, *, makefile: bool, advice: str
) -> None:
    monkeypatch.setenv(settings.STAGE, stage)
    (tmp_path / settings.FILE).touch()
    if makefile:
        (tmp_path / "Makefile").touch()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")

    assert next_steps.deploy_it() == advice


def test_doctor_knows_a_stage_in_a_stack_of_the_application(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    stacks = list(doctor_stacks.stacks())  # its table is there, and no stack of ours
    assert [each.cure for each in stacks] == [None]
    assert "the state of that stack isn't checked" in stacks[0].what

    monkeypatch.setenv(settings.STAGE, "staging")  # has neither
    gone = list(doctor_stacks.stacks())
    assert [each.state for each in gone] == ["not deployed"] * 2
    assert all(each.cure for each in gone)


def test_doctor_has_one_cure_for_a_stage_that_is_not_deployed(sandbox: Sandbox) -> None:
    stage = "staging"
    found = CliRunner().invoke(app, ["--stage", stage, "doctor"]).output
    ours = ", ".join(sorted(registry.queues(), key=list(registry.queues()).index))
    assert (
        f"WRONG stacks celeriac-{stage}--state, celeriac-{stage}--work: not deployed\nWRONG queues {ours}: not" in found
    )
    assert "WRONG outbox: not deployed\n      deploy it: run cdk deploy for staging\nok    alarms" in found
    assert found.count("deploy it") == 1


def test_a_command_that_is_given_no_stage_says_which_one_it_works_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*arguments: str) -> bool:
        return "The stage is dev: neither --stage nor CELERIAC_STAGE names one." in _typed(*arguments).stderr

    assert not told("queues", "--json")  # the variable names it
    monkeypatch.delenv("CELERIAC_STAGE")
    assert told("queues", "--json")
    assert not told("tasks")  # it works on no stage
    assert not told("--stage", "dev", "queues")


def _typed(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_command_works_on_the_operators_stage_whatever_a_module_of_tasks_configures(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_environment_decides", False), ("_is_used", False), ("_given", given.Given("prod"))):
        monkeypatch.setattr(given, name, value)
    found = _run("queues", "--json")
    assert '"queue": "console"' in found.output
    celeriac.configure(stage="staging")
    assert settings.stage() == "test"


def test_doctor_has_a_cure_for_missing_credentials(sandbox: Sandbox) -> None:
    def nobody(**_: object) -> None:
        raise NoCredentialsError

    sts = operators_client("sts").meta.events
    sts.register("before-call.sts.GetCallerIdentity", nobody)
    found = _run("doctor")
    sts.unregister("before-call.sts.GetCallerIdentity", nobody)
    assert found.exit_code == 1
    assert found.output == (
        "WRONG credentials: can't be seen, NoCredentialsError\n"
        "      Unable to locate credentials. Set AWS_PROFILE, or AWS_REGION and credentials.\n"
    )


def test_doctor_names_the_policy_that_allows_a_refused_call(sandbox: Sandbox) -> None:
    def refuse(**_: object) -> None:
        answer: Any = {
            "Error": {"Code": "AccessDenied", "Message": "not authorized to perform: sqs:GetQueueAttributes"}
        }
        raise ClientError(answer, "GetQueueAttributes")

    with registered("sqs", "before-call.sqs.GetQueueAttributes", refuse):
        found = _run("doctor").output
    assert "WRONG queues: can't be seen, AccessDenied\n      you may not perform sqs:GetQueueAttributes" in found
    assert "The policies celeriac-test--operator-* allow what this command does" in found


def _written(sandbox: Sandbox, *texts: str) -> None:
    """Write these lines into the log of the queue `console`, all at the same time."""
    logs, group = operators_client("logs"), "/aws/lambda/celeriac-test--console"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(sandbox.now.timestamp() * 1000)
    events: list[Any] = [{"timestamp": now, "message": text} for text in texts]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)


LINE = {
    "level": "ERROR",
    "message": "task dead",
    "timestamp": "2026-01-01T00:00:00.000+00:00",
    "queue": "console",
    "task": "charge",
    "id": "i-1",
    "attempt": 2,
    "reason": "exhausted",
}
PRINTED = {
    "level": "INFO",
    "message": "charging",
    "timestamp": "2026-01-01T00:00:00.000+00:00",
    "logger": "stdout",
    "task": "charge",
    "id": "i-1",
    "attempt": 2,
    "request_id": "r-1",
}


def test_tail_shows_readable_log_lines(sandbox: Sandbox) -> None:
    _written(sandbox, "START RequestId: r-1", *map(json.dumps, (PRINTED, LINE)), "of nobody", "END RequestId: r-1")
    assert _run("tail", "console", "--no-follow").output.splitlines() == [
        "00:00:00.000 console charge i-1 attempt 2 charging",
        "00:00:00.000 console charge i-1 attempt 2 task dead reason=exhausted",
        "00:00:00.000 console of nobody",
    ]


def test_tail_shows_each_line_of_a_traceback(sandbox: Sandbox) -> None:
    raised = LINE | {"error_message": "no", "error_traceback": "Traceback:\n  File x\nValueError: no"}
    _written(sandbox, json.dumps(raised))
    assert _run("tail", "console", "--no-follow").output.splitlines() == [
        "00:00:00.000 console charge i-1 attempt 2 task dead reason=exhausted",
        "    Traceback:",
        "      File x",
        "    ValueError: no",
    ]


def test_tail_shows_a_workers_death_with_its_unfinished_tasks(sandbox: Sandbox) -> None:
    done = [PRINTED | {"id": "i-0"}, LINE | {"id": "i-0", "outcome": "dead"}]
    death = "RequestId: r-1 Error: Runtime exited with error: signal: killed\nRuntime.ExitError"
    report = "REPORT RequestId: r-1\tMemory Size: 512 MB\tMax Memory Used: 99 MB\tStatus: error"
    _written(sandbox, *map(json.dumps, [*done, PRINTED]), death, report)
    assert _run("tail", "console", "--no-follow").output.splitlines()[3:] == [
        f"00:00:00.000 console {death.partition(chr(10))[0]} unfinished=charge i-1",
        "    Runtime.ExitError",
        "00:00:00.000 console an invocation ended: error, 99 of 512 MB of memory used request_id=r-1",
    ]


def test_tail_shows_the_events_time_for_a_timestamp_in_another_format(sandbox: Sandbox) -> None:
    _written(sandbox, json.dumps({"level": 30, "message": "paid", "timestamp": 1767225600000, "id": 7}))
    assert _run("tail", "console", "--no-follow").output == "00:00:00.000 console 7 paid\n"


def test_control_characters_in_a_log_line_do_not_reach_the_terminal(sandbox: Sandbox) -> None:
    _written(sandbox, json.dumps(PRINTED | {"message": "\x1b[2J [red]:warning:", "note": "\x07"}))
    assert _run("tail", "console", "--no-follow").output == (
        "00:00:00.000 console charge i-1 attempt 2 \\x1b[2J [red]:warning: note=\\x07\n"
    )


def test_tail_with_json_prints_every_line_as_json(sandbox: Sandbox) -> None:
    _written(sandbox, json.dumps(PRINTED), "[ERROR] ValueError: no\nTraceback\n  File x", "twice", "twice")
    lines = [json.loads(line) for line in _run("tail", "console", "--no-follow", "--json").output.splitlines()]
    assert lines[0] == PRINTED | {"queue": "console"}
    assert [(line["level"], line["message"], line["queue"]) for line in lines[1:]] == [
        ("ERROR", "ValueError: no\nTraceback\n  File x", "console"),
        ("INFO", "twice", "console"),
        ("INFO", "twice", "console"),
    ]


@pytest.mark.parametrize(
    ("code", "message", "sentence"),
    [
        ("ExpiredToken", "The security token included in the request is expired", "have expired or aren't known"),
        (
            "AccessDenied",
            "User: arn:aws:iam::1:user/a is not authorized to perform: sqs:getqueueurl on resource: x",
            "you may not perform sqs:getqueueurl",
        ),
        ("InternalError", "sorry", "AWS refuses: "),
    ],
)
def test_a_refusal_by_aws_is_explained_in_a_sentence(sandbox: Sandbox, code: str, message: str, sentence: str) -> None:
    def refuse(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": message}}, "GetItem")

    with registered("dynamodb", "before-call.dynamodb.GetItem", refuse):
        told = _run("quarantine", "list")
    assert told.exit_code == 1
    assert sentence in told.output
    assert "Traceback" not in told.output


def test_the_region_may_be_set_with_aws_region(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    _run("tasks")
    assert os.environ["AWS_DEFAULT_REGION"] == "eu-north-1"


def test_a_stage_that_does_not_exist_is_named_together_with_the_existing_stages(sandbox: Sandbox) -> None:
    told = CliRunner().invoke(app, ["--stage", "prod", "dlq", "list", "console"])
    assert told.exit_code == 2
    assert "there is no queue celeriac-prod--console" in told.output
    assert "Stages here: test." in told.output


def test_every_command_has_an_example_and_an_option_for_scripts() -> None:
    commands = [
        *(["queues"], ["tasks"], ["status"], ["send"], ["pause"], ["resume"], ["tail"], ["doctor"]),
        *(["dlq", name] for name in ("list", "show", "redrive", "discard", "export", "import")),
        *(["quarantine", name] for name in ("add", "list", "lift")),
        *(["outbox", name] for name in ("lag", "replay")),
    ]
    for command in commands:
        told = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"}).output
        assert "Example: " in told, command
        assert "--json" in told, command
