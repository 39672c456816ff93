"""A function may make the calls that its work needs, on its own resources, and no others."""

from tests.infra.conftest import QUEUES, SECRET
from tests.infra.template import Stage, listed, queue_arn, table_arn, text

WITHOUT_RESOURCE = (
    {"xray:PutTelemetryRecords", "xray:PutTraceSegments"},
    {"scheduler:ListSchedules", "sqs:ListQueues"},
    {"scheduler:ListSchedules"},
    {"sqs:ListQueues"},
)


def test_no_role_has_a_wildcard_except_where_aws_has_no_resource(stage: Stage, application: Stage) -> None:
    for stack in (stage.state, stage.work, application.state, application.work):
        for _, statement in stack.statements():
            assert all(":" in action and "*" not in action for action in listed(statement["Action"]))
            if set(listed(statement["Action"])) not in WITHOUT_RESOURCE:
                assert "*" not in [text(resource) for resource in listed(statement["Resource"])]
            for resource in listed(statement["Resource"]):
                assert not text(resource).startswith(("arn:${AWS::Partition}:sqs:*", "arn:*"))


def test_no_role_has_a_managed_policy_of_aws(stage: Stage) -> None:
    assert not [role for role in stage.work.resources("IAM::Role") if role.get("ManagedPolicyArns")]


def test_a_consumer_may_receive_only_from_its_own_queue(stage: Stage) -> None:
    for queue in QUEUES:
        granted = stage.work.granted(f"celeriac-test--{queue.name}")
        for action in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility"):
            assert granted[f"sqs:{action}"] == {queue_arn(queue.physical_name("test"))}


def test_a_consumer_may_send_to_every_queue_and_to_its_own_dead_letter_queue(stage: Stage) -> None:
    every = {queue_arn(queue.physical_name("test")) for queue in QUEUES}
    for queue in QUEUES:
        granted = stage.work.granted(f"celeriac-test--{queue.name}")["sqs:SendMessage"]
        assert granted == every | {queue_arn(queue.dead_letter_name("test"))}
    granted = stage.work.granted("celeriac-test--relay")["sqs:SendMessage"]
    assert granted == every | {queue_arn("celeriac-test--relay-dlq")}


def test_a_consumer_commits_transactions_but_cannot_read_or_change_other_events(stage: Stage) -> None:
    granted = stage.work.granted("celeriac-test--mail")
    records, accounts = table_arn("celeriac-test--idempotency"), table_arn("celeriac-test--accounts")

    for action in ("GetItem", "UpdateItem"):
        assert granted[f"dynamodb:{action}"] == {records, accounts, table_arn("celeriac-test--flow")}
    for action in ("DeleteItem", "ConditionCheckItem"):
        assert granted[f"dynamodb:{action}"] == {accounts}
    assert granted["dynamodb:PutItem"] == {records, accounts, table_arn("celeriac-test--outbox")}
    assert not granted.keys() & {"dynamodb:Scan", "dynamodb:Query"}


def test_the_relay_may_use_only_the_outbox_table_and_its_own_notes_beside_the_records_of_tasks(stage: Stage) -> None:
    granted = stage.work.granted("celeriac-test--relay")
    stream = {resource for resource in granted["dynamodb:GetRecords"] if "Outbox" in resource}
    outbox, records = table_arn("celeriac-test--outbox"), table_arn("celeriac-test--idempotency")

    tables = {on for action, resources in granted.items() if action.startswith("dynamodb:") for on in resources}
    assert tables == {outbox, f"{outbox}/index/waiting", records, *stream}
    assert "dynamodb:PutItem" not in granted
    for function in ("Relay", "Sweeper"):
        (notes,) = {
            str(statement["Condition"])
            for name, statement in stage.work.statements()
            if name.startswith(function) and records in {text(on) for on in listed(statement["Resource"])}
        }
        assert notes == "{'ForAllValues:StringLike': {'dynamodb:LeadingKeys': ['celeriac#held#*']}}"


def test_a_role_is_passed_only_to_schedulers(stage: Stage) -> None:
    conditions = {
        str(statement["Condition"])
        for _, statement in stage.work.statements()
        if "iam:PassRole" in listed(statement["Action"])
    }
    assert conditions == {"{'StringEquals': {'iam:PassedToService': 'scheduler.amazonaws.com'}}"}


def test_a_consumer_may_list_the_bucket_to_tell_an_expired_payload_from_a_forbidden_one(stage: Stage) -> None:
    bucket = "arn:${AWS::Partition}:s3:::celeriac-test--payloads-${AWS::AccountId}-${AWS::Region}"
    assert stage.work.granted("celeriac-test--mail")["s3:ListBucket"] == {bucket}


def test_a_queues_schedules_may_send_to_the_queue_and_to_the_dead_letter_queue_of_schedules(stage: Stage) -> None:
    for queue in QUEUES:
        role = stage.state.named("IAM::Role", "RoleName", f"celeriac-test--scheduler-{queue.name}-${{AWS::Region}}")
        (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
        assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
        # A policy of its own would not be kept with the role.
        ((statement,),) = (each["PolicyDocument"]["Statement"] for each in role["Policies"])
        assert {text(each) for each in statement["Resource"]} == {
            queue_arn(queue.physical_name("test")),
            queue_arn("celeriac-test--schedules-dlq"),
        }


def test_recurring_tasks_have_schedules_apart_from_those_of_delays(stage: Stage) -> None:
    (delays,) = stage.state.resources("Scheduler::ScheduleGroup")
    (crons,) = stage.work.resources("Scheduler::ScheduleGroup")
    assert (delays["Name"], crons["Name"]) == ("celeriac-test", "celeriac-test--crons")
    for schedule in stage.work.resources("Scheduler::Schedule"):
        if "sweeper" not in schedule["Name"]:
            assert schedule["GroupName"] == crons["Name"]
            assert "scheduler-mail-" in text(schedule["Target"]["RoleArn"])


def test_what_a_queue_is_given_reaches_its_consumer_only(stage: Stage) -> None:
    for queue in QUEUES[:2]:
        assert stage.work.granted(f"celeriac-test--{queue.name}")["secretsmanager:GetSecretValue"] == {SECRET}
    for function in (*(queue.name for queue in QUEUES[2:]), "relay", "sweeper"):
        assert "secretsmanager:GetSecretValue" not in stage.work.granted(f"celeriac-test--{function}")
