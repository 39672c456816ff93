"""What the stacks give the sample tasks: queues, tables, settings and permissions."""

import pytest

from celeriac_cdk.config import ConfigError
from tasks import queues, tables
from tests.infra.conftest import as_cdk_makes_it
from tests.infra.template import Stage, listed, table_arn

SECRET = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:celeriac-dev--webhook-secret"
QUEUES = (queues.emails, queues.orders, queues.payments, queues.webhooks)
CONSUMERS = [f"celeriac-dev--{queue.name}" for queue in QUEUES]


@pytest.fixture(scope="module")
def stage() -> Stage:
    return as_cdk_makes_it(stage="dev", sender="shop@example.org", provider_url="http://127.0.0.1:1")


def test_every_queue_is_deployed_under_the_name_that_producers_derive(stage: Stage) -> None:
    deployed = {queue["QueueName"] for queue in stage.state.resources("SQS::Queue")}

    for queue in QUEUES:
        assert {queue.physical_name("dev"), queue.dead_letter_name("dev")} <= deployed


def test_every_consumer_writes_the_tables(stage: Stage) -> None:
    for consumer in CONSUMERS:
        written = stage.work.granted(consumer)["dynamodb:DeleteItem"]
        assert {table_arn(table.physical_name("dev")) for table in (tables.orders, tables.payments)} <= written


def test_context_sets_the_environment_of_the_tasks(stage: Stage) -> None:
    for consumer in CONSUMERS:
        told = stage.work.named("Lambda::Function", "FunctionName", consumer)["Environment"]["Variables"]
        assert told["EMAIL_SENDER"] == "shop@example.org"
        assert told["PAYMENT_PROVIDER_URL"] == "http://127.0.0.1:1"
        assert told["WEBHOOK_SECRET_ID"] == "celeriac-dev--webhook-secret"


def test_mail_can_be_sent_only_from_the_configured_sender(stage: Stage) -> None:
    conditions = [
        statement["Condition"]
        for _, statement in stage.work.statements()
        if any(action.startswith("ses:") for action in listed(statement["Action"]))
    ]

    assert len(conditions) >= len(QUEUES)
    assert all(condition == {"StringEquals": {"ses:FromAddress": "shop@example.org"}} for condition in conditions)


def test_webhooks_are_signed_with_the_stages_secret_which_only_consumers_read(stage: Stage) -> None:
    assert stage.state.named("SecretsManager::Secret", "Name", "celeriac-dev--webhook-secret")
    for consumer in CONSUMERS:
        assert f"{SECRET}-??????" in stage.work.granted(consumer)["secretsmanager:GetSecretValue"]
    for function in ("celeriac-dev--relay", "celeriac-dev--sweeper"):
        assert not stage.work.granted(function).keys() & {"secretsmanager:GetSecretValue", "ses:SendEmail"}


@pytest.mark.parametrize(
    ("context", "complaint"),
    [
        ({"sender": "nobody"}, "sender='nobody' is not an e-mail address"),
        ({"provider_url": "ftp://x"}, "provider_url='ftp://x' is not a URL"),
    ],
    ids=["sender", "provider_url"],
)
def test_a_bad_context_value_is_named(context: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        as_cdk_makes_it(stage="dev", **context)
