"""Every declared queue is built safely, as its declaration says."""

import json
from datetime import timedelta
from typing import Any

import pytest

from celeriac import Queue
from celeriac.model.stages import Project, StageSettings, Vpc
from celeriac.model.table import Outbox, Table
from celeriac_cdk.config import ConfigError
from tests.application import tables
from tests.infra.conftest import QUEUES, TABLES, build, built, warnings
from tests.infra.template import Resource, Stage, queue_arn, text

each_queue = pytest.mark.parametrize("queue", QUEUES, ids=lambda queue: queue.name)


def sqs(stage: Stage, name: str) -> Resource:
    return stage.state.named("SQS::Queue", "QueueName", name)


def mapping(stage: Stage, queue: Queue) -> Resource:
    return stage.work.named("Lambda::EventSourceMapping", "EventSourceArn", queue_arn(queue.physical_name("test")))


@each_queue
def test_a_queue_redrives_to_a_dead_letter_queue_that_outlives_it(stage: Stage, queue: Queue) -> None:
    source, dead = sqs(stage, queue.physical_name("test")), sqs(stage, queue.dead_letter_name("test"))

    assert stage.state.name_of(source["RedrivePolicy"]["deadLetterTargetArn"], "QueueName") == dead["QueueName"]
    assert source["RedrivePolicy"]["maxReceiveCount"] == queue.receive_limit
    assert source["MessageRetentionPeriod"] == queue.retention.total_seconds()
    assert dead["MessageRetentionPeriod"] > source["MessageRetentionPeriod"]


@each_queue
def test_no_running_batch_is_delivered_twice(stage: Stage, queue: Queue) -> None:
    visibility = sqs(stage, queue.physical_name("test"))["VisibilityTimeout"]
    function = stage.work.named("Lambda::Function", "FunctionName", f"celeriac-test--{queue.name}")

    assert function["Timeout"] == queue.timeout.total_seconds()
    assert visibility >= 6 * function["Timeout"] + mapping(stage, queue).get("MaximumBatchingWindowInSeconds", 0)


@each_queue
def test_a_consumers_mapping_is_as_declared_and_reports_partial_failures(stage: Stage, queue: Queue) -> None:
    fed = mapping(stage, queue)

    assert fed["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert fed["BatchSize"] == queue.batch
    # An idle mapping goes down to two pollers only where no limit is set.
    limit = {"ScalingConfig": {"MaximumConcurrency": queue.max_concurrency}} if queue.max_concurrency else {}
    assert {key: fed[key] for key in fed.keys() & {"ScalingConfig"}} == limit
    assert timedelta(seconds=fed.get("MaximumBatchingWindowInSeconds", 0)) == queue.batch_window
    assert stage.work.name_of(fed["FunctionName"], "FunctionName") == f"celeriac-test--{queue.name}"


def test_a_fifo_queue_has_a_fifo_dead_letter_queue_and_never_drops_equal_messages(stage: Stage) -> None:
    for name in ("celeriac-test--ledger.fifo", "celeriac-test--ledger-dlq.fifo"):
        queue = sqs(stage, name)
        assert queue["FifoQueue"] is True
        assert not queue.get("ContentBasedDeduplication", False)
        assert (queue["DeduplicationScope"], queue["FifoThroughputLimit"]) == ("messageGroup", "perMessageGroupId")


def test_every_queue_is_encrypted_and_refuses_plain_http(stage: Stage) -> None:
    refusing = {
        stage.state.name_of(policy["Queues"][0], "QueueName")
        for policy in stage.state.resources("SQS::QueuePolicy")
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    for queue in stage.state.resources("SQS::Queue"):
        assert queue["SqsManagedSseEnabled"] is True
        assert queue["QueueName"] in refusing


def test_payloads_are_kept_as_long_as_any_message_that_points_to_them(stage: Stage) -> None:
    (bucket,) = stage.state.resources("S3::Bucket")
    rules = {
        rule["Prefix"]: timedelta(days=rule["ExpirationInDays"]) for rule in bucket["LifecycleConfiguration"]["Rules"]
    }
    # A payload counts as new for two days, and after its dead-letter queue a message may be in its queue again.
    longest = max(2 * queue.retention + queue.dead_letter_retention for queue in QUEUES) + timedelta(days=2)

    assert text(bucket["BucketName"]) == "celeriac-test--payloads-${AWS::AccountId}-${AWS::Region}"
    assert rules.keys() == {"args/", "bodies/", "scheduled/"}
    assert min(rules.values()) >= longest
    assert rules["scheduled/"] >= longest + timedelta(days=365)  # the longest possible delay
    assert all(bucket["PublicAccessBlockConfiguration"].values())


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_applications_tables_have_their_declared_key(stage: Stage, table: Table) -> None:
    built = stage.state.named("DynamoDB::Table", "TableName", table.physical_name("test"))

    assert built["KeySchema"] == [{"AttributeName": table.key, "KeyType": "HASH"}]


def test_every_table_is_on_demand_and_recoverable(stage: Stage) -> None:
    for table in stage.state.resources("DynamoDB::Table"):
        assert table["BillingMode"] == "PAY_PER_REQUEST"
        assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}


def test_records_and_events_expire(stage: Stage) -> None:
    expiring = {
        table["TableName"]: table["TimeToLiveSpecification"]["AttributeName"]
        for table in stage.state.resources("DynamoDB::Table")
        if "TimeToLiveSpecification" in table
    }

    assert expiring == {
        "celeriac-test--idempotency": "expiration",
        "celeriac-test--outbox": "expires_at",
        "celeriac-test--flow": "expires_at",
    }


def test_the_relay_gets_each_new_event_whole_and_is_never_blocked_permanently(stage: Stage) -> None:
    outbox = stage.state.named("DynamoDB::Table", "TableName", "celeriac-test--outbox")
    (relay,) = [fed for fed in stage.work.resources("Lambda::EventSourceMapping") if "StartingPosition" in fed]

    assert outbox["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert [key["AttributeName"] for key in outbox["KeySchema"]] == ["pk", "sk"]
    assert relay["StartingPosition"] == "TRIM_HORIZON"
    assert [json.loads(each["Pattern"]) for each in relay["FilterCriteria"]["Filters"]] == [{"eventName": ["INSERT"]}]
    assert relay["BisectBatchOnFunctionError"] is True
    assert relay["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 0 < relay["MaximumRetryAttempts"] <= 10
    # Only the age counts while Lambda throttles the relay.
    assert 3600 < relay["MaximumRecordAgeInSeconds"] < 24 * 3600
    assert text(relay["DestinationConfig"]["OnFailure"]["Destination"]) == queue_arn("celeriac-test--relay-dlq")


def test_a_consumer_has_the_numbers_of_its_queue() -> None:
    big = Queue(
        "big",
        memory=2048,
        ephemeral_storage=1024,
        reserved=20,
        max_concurrency=20,
        log_retention=timedelta(days=90),
        environment={"MODE": "fast"},
    )
    state, work = build([big, Queue("plain")], stage="test")

    made = work.named("Lambda::Function", "FunctionName", "celeriac-test--big")
    assert (made["MemorySize"], made["EphemeralStorage"], made["ReservedConcurrentExecutions"]) == (
        2048,
        {"Size": 1024},
        20,
    )
    assert made["Environment"]["Variables"].items() >= {"MODE": "fast", "CELERIAC_APPLICATION": "celeriac"}.items()
    assert state.named("Logs::LogGroup", "LogGroupName", "/aws/lambda/celeriac-test--big")["RetentionInDays"] == 90
    plain = work.named("Lambda::Function", "FunctionName", "celeriac-test--plain")
    assert plain["MemorySize"] == 512
    assert "ReservedConcurrentExecutions" not in plain
    assert "MODE" not in plain["Environment"]["Variables"]


def test_a_consumer_joins_the_vpc_of_its_stage_if_its_queue_says_so() -> None:
    vpc = Vpc(("subnet-0123456789abcdef0",), ("sg-0123456789abcdef0",))
    project = Project(stages={"prod": StageSettings(vpc=vpc)})
    work = built(project, [Queue("inside", vpc=True), Queue("outside")], stage="prod").work

    inside = work.named("Lambda::Function", "FunctionName", "celeriac-prod--inside")
    assert inside["VpcConfig"] == {"SubnetIds": list(vpc.subnets), "SecurityGroupIds": list(vpc.security_groups)}
    assert "ec2:CreateNetworkInterface" in work.granted("celeriac-prod--inside")
    (denied,) = [each for _, each in work.statements() if each["Effect"] == "Deny"]  # to the code itself
    assert "ec2:DeleteNetworkInterface" in denied["Action"]
    assert text(denied["Condition"]["ArnEquals"]["lambda:SourceFunctionArn"]).endswith(
        ":function:celeriac-prod--inside"
    )
    assert "VpcConfig" not in work.named("Lambda::Function", "FunctionName", "celeriac-prod--outside")
    assert "ec2:CreateNetworkInterface" not in work.granted("celeriac-prod--outside")


def test_a_consumer_on_the_local_cloud_joins_no_vpc() -> None:
    _, work = build([Queue("inside", vpc=True)], stage="local")
    assert "VpcConfig" not in work.named("Lambda::Function", "FunctionName", "celeriac-local--inside")


def test_a_queue_in_a_vpc_that_the_stage_lacks_is_refused_with_the_cure() -> None:
    with pytest.raises(ConfigError, match=r"vpc=True, and the stage test has no VPC: set vpc.subnets"):
        build([Queue("inside", vpc=True)], stage="test")


def test_pollers_are_given_up_by_an_empty_object() -> None:
    """Lambda keeps the pollers of a mapping whose update doesn't name them."""
    queues = [Queue("calm", pollers=()), Queue("plain"), Queue("busy", pollers=(200, 10_000))]
    _, work = build(queues, stage="test")
    (calm, plain, busy) = (
        each for each in work.resources("Lambda::EventSourceMapping") if "FilterCriteria" not in each
    )
    assert calm["ProvisionedPollerConfig"] == {"MinimumPollers": {"Ref": "AWS::NoValue"}}
    assert "ScalingConfig" not in calm
    assert "ProvisionedPollerConfig" not in plain
    assert busy["ProvisionedPollerConfig"] == {"MinimumPollers": 200, "MaximumPollers": 10_000}


def test_a_timeout_that_is_not_documented_is_deployed_and_the_cdk_says_nothing_of_it(
    capfd: pytest.CaptureFixture[str],
) -> None:
    long = Queue("long", timeout=timedelta(minutes=30), timeout_stands_on="api-model")
    state, work = build([long], stage="test")
    assert work.named("Lambda::Function", "FunctionName", "celeriac-test--long")["Timeout"] == 1800
    assert state.named("SQS::Queue", "QueueName", "celeriac-test--long")["VisibilityTimeout"] == 6 * 1800
    assert "E3717" not in "".join(capfd.readouterr())


def test_a_queue_that_an_hour_of_throttling_would_empty_is_named() -> None:
    hasty, usual = Queue("hasty", max_receives=5), Queue("usual")
    found = warnings([hasty, usual], stage="test")
    assert [each.partition(" [ack")[0] for each in found if "throttles" in each] == [
        (
            "the queue hasty: if Lambda throttles its consumer for longer than 15 minutes, SQS moves its messages to "
            "the dead-letter queue, because max_receives is 5: leave it out"
        )
    ]


def test_relay_and_sweeper_keep_their_share_if_the_stage_reserves_it() -> None:
    for reserve in (True, False):
        made = built(Project(stages={"prod": StageSettings(reserve=reserve)}), stage="prod").work
        kept = [made.named("Lambda::Function", "FunctionName", f"celeriac-prod--{one}") for one in ("relay", "sweeper")]
        found = [each.get("ReservedConcurrentExecutions") for each in kept]
        assert found == ([4, 2] if reserve else [None, None])


def test_a_consumer_runs_on_the_processor_of_its_queue() -> None:
    _, work = build([Queue("intel", architecture="x86_64"), Queue("graviton")], stage="test")
    found = {each["FunctionName"]: each["Architectures"] for each in work.resources("Lambda::Function")}
    assert found["celeriac-test--intel"] == ["x86_64"]
    assert found["celeriac-test--graviton"] == found["celeriac-test--relay"] == ["arm64"]


def test_a_retired_queue_keeps_its_consumer_and_its_alarms() -> None:
    state, work = build([Queue("old", retired=True)], stage="test")
    assert state.named("SQS::Queue", "QueueName", "celeriac-test--old")
    assert work.named("Lambda::Function", "FunctionName", "celeriac-test--old")
    assert {each["AlarmName"] for each in work.resources("CloudWatch::Alarm")} >= {
        "celeriac-test--old-age",
        "celeriac-test--old-dlq",
    }


def test_no_other_queue_may_use_a_queues_dead_letter_queue(stage: Stage) -> None:
    for queue in QUEUES:
        letters = stage.state.named("SQS::Queue", "QueueName", queue.dead_letter_name("test"))
        allowed = letters["RedriveAllowPolicy"]
        assert allowed["redrivePermission"] == "byQueue"
        assert [text(each) for each in allowed["sourceQueueArns"]] == [queue_arn(queue.physical_name("test"))]


def test_queues_may_differ_in_a_hyphen_only() -> None:
    state, _ = build([Queue("eumail"), Queue("eu-mail"), Queue("eu--mail")], stage="test")
    for name in ("eumail", "eu-mail", "eu--mail"):
        assert state.policy(f"celeriac-test--producer-{name}-${{AWS::Region}}")


OTHER = "111122223333"


def test_the_named_accounts_may_send_to_a_queue_and_store_its_payloads() -> None:
    project = Project(stages={"prod": StageSettings(kms=True, producers={"mail": (OTHER,)})})
    state = built(project, [Queue("mail"), Queue("slow")], stage="prod").state

    def for_the_other(kind: str) -> list[dict[str, Any]]:
        statements = [each for one in state.resources(kind) for each in one["PolicyDocument"]["Statement"]]
        return [each for each in statements if OTHER in json.dumps(each["Principal"])]

    (send,) = for_the_other("SQS::QueuePolicy")
    assert send["Action"] == ["sqs:SendMessage", "sqs:GetQueueUrl"]
    assert state.name_of(send["Resource"], "QueueName") == "celeriac-prod--mail"
    (put,) = for_the_other("S3::BucketPolicy")
    assert put["Action"] == "s3:PutObject"
    assert text(put["Resource"]).endswith("/args/mail/*")
    (key,) = state.resources("KMS::Key")
    (use,) = [each for each in key["KeyPolicy"]["Statement"] if OTHER in json.dumps(each["Principal"])]
    assert use["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert "kms:ViaService" in json.dumps(use["Condition"])


def test_the_bus_has_a_queue_for_what_it_could_not_send_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "outbox", Outbox(bus=True), raising=False)
    state, work = build([Queue("mail")], stage="test", kms="true")
    (bus,) = state.resources("Events::EventBus")
    assert state.name_of(bus["DeadLetterConfig"]["Arn"], "QueueName") == "celeriac-test--bus-dlq"
    assert "KmsKeyIdentifier" in bus
    assert "celeriac-test--bus-dlq" in {each["AlarmName"] for each in work.resources("CloudWatch::Alarm")}
