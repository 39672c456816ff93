"""Each policy and each role allows what is listed here, and refuses every other call on anything of the stage, of
another stage, or of another application.
"""

import pytest

from celeriac_cdk.permissions import in_statements, literal
from tests.infra.simulator import KEYS, Statement, World, allowed, arn, of_function, of_managed
from tests.infra.template import Stage

STAGE = "celeriac-test--"
BUCKET = f"{STAGE}payloads-123456789012-eu-west-1"
WORLD = World(
    queues=[
        *(f"{STAGE}{name}" for name in ("mail", "mail-dlq", "slow", "slow-dlq", "ledger.fifo", "ledger-dlq.fifo")),
        *(f"{STAGE}{name}" for name in ("schedules-dlq", "relay-dlq")),
        *("celeriac-test-eu--mail", "celeriac-test-eu--mail-dlq", "shop-test--mail"),
    ],
    tables=[f"{STAGE}idempotency", f"{STAGE}outbox", f"{STAGE}accounts", "celeriac-test-eu--outbox"],
    keys=[
        *("nightly#5f", "archive#5f", "nightly-too#5f", "celeriac#queue#mail#dead 5f", "celeriac#queue#slow#dead 5f"),
        *("celeriac#quarantine", "celeriac#order#o-1", "celeriac#order#celeriac#task#ledger#g", "celeriac#held#o-1"),
        *("celeriac#task#mail#g", "celeriac#task#ledger#g", "o-1"),
    ],
    objects=[
        f"{BUCKET}/args/mail/5f",
        f"{BUCKET}/args/slow/5f",
        f"{BUCKET}/scheduled/mail/5f",
        f"{BUCKET}/bodies/mail/5f",
        f"{BUCKET}/bodies/slow/5f",
        "celeriac-test--reports/a",
    ],
    schedules=["celeriac-test/mail.5f", "celeriac-test/slow.5f", f"{STAGE}crons/cron-nightly", "default/x"],
    roles=[*(f"{STAGE}scheduler-{name}-eu-west-1" for name in ("mail", "slow", "ledger")), "Admin"],
)


def on(things: str, *actions: str) -> set[tuple[str, str]]:
    return {(action, things) for action in actions}


def record(key: str, *actions: str) -> set[tuple[str, str]]:
    return on(f"table/{STAGE}idempotency {key}", *actions)


def row(key: str, *actions: str) -> set[tuple[str, str]]:
    return on(f"table/{STAGE}outbox {key}", *actions)


PRODUCER = {
    *on(f"{STAGE}mail", "SendMessage", "GetQueueUrl"),
    *on(f"{STAGE}schedules-dlq", "GetQueueUrl"),
    *on(f"{BUCKET}/args/mail/5f", "PutObject"),
    *on(f"{BUCKET}/scheduled/mail/5f", "PutObject"),
    *on("schedule/celeriac-test/mail.5f", "CreateSchedule"),
    *on(f"role/{STAGE}scheduler-mail-eu-west-1", "PassRole"),
    *row("celeriac#task#mail#g", "PutItem"),
}
EMITTER = {
    *record("celeriac#order#o-1", "PutItem"),
    *(
        call
        for key in WORLD.keys
        if not key.startswith("celeriac#task#")  # the other keys are names that aggregates of events may have
        for call in row(key, "PutItem")
    ),
}
READER = {call for key in WORLD.keys for call in record(key, "GetItem")}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("producer-mail", PRODUCER), ("emitter", EMITTER), ("reader", READER)],
    ids=["producer", "emitter", "reader"],
)
def test_a_managed_policy_allows_this_and_nothing_else(
    stage: Stage, policy: str, expected: set[tuple[str, str]]
) -> None:
    assert WORLD.allowed(of_managed(stage.state, f"{STAGE}{policy}-${{AWS::Region}}")) == expected


def test_a_producer_of_a_fifo_queue_also_notes_the_order_of_its_groups(stage: Stage) -> None:
    allowed_calls = WORLD.allowed(of_managed(stage.state, f"{STAGE}producer-ledger-${{AWS::Region}}"))
    assert allowed_calls >= row("celeriac#task#ledger#g", "PutItem") | on(f"{STAGE}ledger.fifo", "SendMessage")
    assert {call for call in allowed_calls if "idempotency" in call[1]} == record(
        "celeriac#order#celeriac#task#ledger#g", "PutItem"
    )


SENDS = {
    *(
        call
        for queue in ("mail", "slow", "ledger.fifo")
        for call in on(f"{STAGE}{queue}", "SendMessage", "GetQueueUrl")
    ),
    *on(f"{STAGE}schedules-dlq", "GetQueueUrl"),
    *(call for each in ("args/mail", "args/slow", "scheduled/mail") for call in on(f"{BUCKET}/{each}/5f", "PutObject")),
    *(call for each in ("mail", "slow") for call in on(f"schedule/celeriac-test/{each}.5f", "CreateSchedule")),
    *(
        call
        for each in ("mail", "slow", "ledger")
        for call in on(f"role/{STAGE}scheduler-{each}-eu-west-1", "PassRole")
    ),
    *(call for key in WORLD.keys for call in row(key, "PutItem")),
    *(call for key in WORLD.keys if key.startswith("celeriac#order#") for call in record(key, "PutItem")),
    *record("celeriac#quarantine", "GetItem"),
}


def own(queue: str, task: str) -> set[tuple[str, str]]:
    """What a consumer may do with what belongs to its own queue."""
    consume = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "GetQueueAttributes")
    return {
        *on(f"{STAGE}{queue}", *consume),
        *on(f"{STAGE}{queue}-dlq", "SendMessage", "GetQueueUrl"),
        *(call for path in WORLD.objects if f"/{queue}/" in path for call in on(path, "GetObject")),
        *on(f"{BUCKET}/bodies/{queue}/5f", "PutObject"),
        *on(f"schedule/celeriac-test/{queue}.5f", "GetSchedule"),
        *record(f"{task}#5f", "GetItem", "BatchGetItem", "PutItem", "UpdateItem"),
        *record(f"celeriac#queue#{queue}#dead 5f", "GetItem", "BatchGetItem", "PutItem", "UpdateItem"),
    }


def test_a_consumer_reads_and_writes_what_belongs_to_its_queue_and_sends_to_every_queue(stage: Stage) -> None:
    assert WORLD.allowed(of_function(stage.work, f"{STAGE}slow")) == SENDS | own("slow", "archive")
    items = ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "ConditionCheckItem")
    table = {call for key in WORLD.keys for call in on(f"table/{STAGE}accounts {key}", *items)}
    assert WORLD.allowed(of_function(stage.work, f"{STAGE}mail")) == SENDS | own("mail", "nightly") | table


def test_an_operator_works_on_one_stage_and_cannot_change_what_it_consists_of(stage: Stage) -> None:
    allowed_calls = WORLD.allowed(of_managed(stage.state, f"{STAGE}operator-${{AWS::Region}}"))

    # The list of schedules has no resource to name.
    named = {resource.split(" ")[0] for action, resource in allowed_calls if action != "ListSchedules"}
    assert all(name.startswith((STAGE, f"table/{STAGE}", f"role/{STAGE}", "schedule/celeriac-test/")) for name in named)
    assert not {action for action, _ in allowed_calls} & {
        *("DeleteQueue", "SetQueueAttributes", "AddPermission", "PurgeQueue", "DeleteTable", "UpdateTable"),
        *("UpdateSchedule", "PutRolePolicy", "DeleteObject"),
    }
    deleted = {resource for action, resource in allowed_calls if action == "DeleteSchedule"}
    assert deleted == {f"schedule/celeriac-test/{queue}.5f" for queue in ("mail", "slow")}
    read = {resource for action, resource in allowed_calls if action in {"ReceiveMessage", "DeleteMessage"}}
    assert read == {f"{STAGE}{queue}" for queue in ("mail-dlq", "slow-dlq", "ledger-dlq.fifo", *OURS)}
    assert not {call for call in allowed_calls if call[1].startswith(f"table/{STAGE}accounts")} - on(
        f"table/{STAGE}accounts", "DescribeTable"
    )


OURS = ("schedules-dlq", "relay-dlq")


@pytest.mark.parametrize("name", ["a*b", "a?b", "a$b", "a${aws:userid}b", "отчёт", "plain.name"])
def test_a_tasks_name_is_matched_as_it_is(name: str) -> None:
    pattern = f"{literal(name)}#*"
    assert pattern.isascii()
    right = Statement(
        "Allow", ["dynamodb:GetItem"], ["*"], {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [pattern]}}
    )
    table = arn("dynamodb", "table/t")
    assert allowed([right], "dynamodb:GetItem", table, **{KEYS: (f"{name}#5f",)})
    assert not allowed([right], "dynamodb:GetItem", table, **{KEYS: ("axxb#5f",)})


def test_the_names_of_many_tasks_are_spread_over_statements() -> None:
    names = [f"{number:03}{'x' * 150}" for number in range(100)]
    parts = list(in_statements(names))
    assert [name for part in parts for name in part] == names
    assert max(sum(map(len, part)) for part in parts) < 6144
