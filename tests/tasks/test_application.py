"""What the stacks give the sample tasks: queues, tables, settings and permissions."""

import pytest

from celeriac import Queue
from celeriac.model import names
from celeriac_cdk.config import ConfigError
from tasks import queues, tables
from tests.infra.conftest import as_cdk_makes_it
from tests.infra.template import Stage, listed, table_arn

WEBHOOK_SECRET = names.part("dev", "webhook-secret")
SECRET = f"arn:${{AWS::Partition}}:secretsmanager:${{AWS::Region}}:${{AWS::AccountId}}:secret:{WEBHOOK_SECRET}"
QUEUES = (queues.emails, queues.orders, queues.payments, queues.webhooks)


def consumer(queue: Queue) -> str:
    return queue.function_name("dev")


@pytest.fixture(scope="module")
def stage() -> Stage:
    return as_cdk_makes_it(stage="dev", sender="shop@example.org", provider_url="http://127.0.0.1:1")


def test_every_queue_is_deployed_under_the_name_that_producers_derive(stage: Stage) -> None:
    deployed = {queue["QueueName"] for queue in stage.state.resources("SQS::Queue")}

    for queue in QUEUES:
        assert {queue.physical_name("dev"), queue.dead_letter_name("dev")} <= deployed


def test_a_consumer_writes_the_tables_of_its_tasks_only(stage: Stage) -> None:
    order, payment = (table_arn(table.physical_name("dev")) for table in (tables.orders, tables.payments))
    for queue, its in ((queues.orders, {order}), (queues.payments, {order, payment}), (queues.emails, set())):
        assert stage.work.granted(consumer(queue)).get("dynamodb:DeleteItem", set()) == its


def test_context_sets_the_environment_of_the_tasks(stage: Stage) -> None:
    def told(queue: Queue) -> dict[str, str]:
        function = stage.work.named("Lambda::Function", "FunctionName", consumer(queue))
        return dict(function["Environment"]["Variables"])

    assert told(queues.emails)["EMAIL_SENDER"] == "shop@example.org"
    assert told(queues.payments)["PAYMENT_PROVIDER_URL"] == "http://127.0.0.1:1"
    assert told(queues.webhooks)["WEBHOOK_SECRET_ID"] == WEBHOOK_SECRET
    assert not told(queues.orders).keys() & {"EMAIL_SENDER", "PAYMENT_PROVIDER_URL", "WEBHOOK_SECRET_ID"}


def test_only_the_queue_of_mails_sends_mail_and_only_from_the_configured_sender(stage: Stage) -> None:
    ((role, condition),) = [
        (role, statement["Condition"])
        for role, statement in stage.work.statements()
        if any(action.startswith("ses:") for action in listed(statement["Action"]))
    ]

    assert role.startswith("Consumeremails")
    assert condition == {"StringEquals": {"ses:FromAddress": "shop@example.org"}}


def test_webhooks_are_signed_with_the_stages_secret_which_only_their_consumer_reads(stage: Stage) -> None:
    assert stage.state.named("SecretsManager::Secret", "Name", WEBHOOK_SECRET)
    readers = [
        role for role, each in stage.work.statements() if "secretsmanager:GetSecretValue" in listed(each["Action"])
    ]
    assert [role for role in readers if not role.startswith("Consumerwebhooks")] == []
    assert f"{SECRET}-??????" in stage.work.granted(consumer(queues.webhooks))["secretsmanager:GetSecretValue"]


@pytest.mark.parametrize(
    ("context", "complaint"),
    [
        ({"sender": "nobody"}, "sender='nobody' is not an e-mail address"),
        ({"sender": "Shop <shop@example.org>"}, "is not an e-mail address: write"),
        ({"provider_url": "ftp://x"}, "provider_url='ftp://x' is not a URL"),
        ({"provider_url": "https://"}, "provider_url='https://' is not a URL"),
    ],
    ids=["sender", "display name", "provider_url", "no host"],
)
def test_a_bad_context_value_is_named(context: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        as_cdk_makes_it(stage="dev", **context)
