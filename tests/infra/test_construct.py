"""`Celeriac` in a stack that isn't ours: beside a VPC, a topic and a function of the application, and twice."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_sns as sns

from celeriac_cdk import Celeriac, QueueNumbers, StageSettings
from tests.infra import foreign
from tests.infra.template import Stack, text

VPC_QUEUE = 'from celeriac import Queue\n\nmail = Queue("mail", vpc=True)\nslow = Queue("slow")\n'
TABLES = 'from celeriac import Table\n\norders = Table("orders")\n'


@dataclass(frozen=True)
class Shop:
    stack: cdk.Stack
    nested: cdk.NestedStack
    tasks: Celeriac
    other: Celeriac
    made: Stack
    inner: Stack


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with foreign.imports_of(tmp_path_factory.mktemp("host")) as root:
        source = foreign.package(root / "src", "shop_tasks", queues=VPC_QUEUE, tables=TABLES)
        others = foreign.package(root / "other", "billing_tasks")
        inner = foreign.package(root / "inner", "inner_tasks")
        stack = cdk.Stack(foreign.app(), "Host")
        vpc, topic = ec2.Vpc(stack, "Vpc", max_azs=2), sns.Topic(stack, "OnCall")
        foreign.function(stack)
        tasks = Celeriac(
            *(stack, "Tasks"),
            source=source,
            name="shop",
            stage="prod",
            vpc=vpc,
            alarm_topic=topic,
            queues={"slow": QueueNumbers(memory=2048)},
        )
        other = Celeriac(stack, "Billing", source=others, name="billing", stage="prod", alarm_topic=topic)
        nested = cdk.NestedStack(stack, "Nested")
        Celeriac(nested, "Inner", source=inner, name="inner", stage="dev", settings=StageSettings(ephemeral=True))
        yield Shop(stack, nested, tasks, other, foreign.template(stack), foreign.template(nested))


def test_the_stack_stays_the_hosts(shop: Shop) -> None:
    assert (shop.stack.stack_name, shop.stack.termination_protection) == ("Host", False)
    assert shop.stack.tags.tag_values() == {}
    (topic,) = [each for each in shop.made.resources("SNS::Topic") if "TopicName" not in each]
    assert "Tags" not in topic
    assert "Tags" not in shop.made.named("Lambda::Function", "FunctionName", "Api")
    mine = shop.made.named("Lambda::Function", "FunctionName", "shop-prod--mail")
    assert {each["Key"]: each["Value"] for each in mine["Tags"]} == {
        "celeriac:application": "shop",
        "celeriac:stage": "prod",
    }


def test_two_applications_with_tasks_and_queues_of_one_name_stay_apart(shop: Shop) -> None:
    assert foreign.physical(shop.made, "SQS::Queue", "QueueName") >= {
        *("shop-prod--mail", "shop-prod--mail-dlq", "shop-prod--slow"),
        *("billing-prod--mail", "billing-prod--mail-dlq"),
    }
    for name, package in (("shop", "shop_tasks"), ("billing", "billing_tasks")):
        known = foreign.variables(shop.made, f"{name}-prod--mail")
        assert (known["CELERIAC_APPLICATION"], known["CELERIAC_TASKS"]) == (name, package)
        statements = str(shop.made.granted(f"{name}-prod--mail"))
        assert f"{name}-prod--" in statements
        assert f"{'billing' if name == 'shop' else 'shop'}-prod" not in statements
    groups = {text(each["GroupName"]) for each in shop.made.resources("Scheduler::Schedule") if "GroupName" in each}
    assert groups == {"shop-prod--crons", "billing-prod--crons"}


def test_a_nested_stack_takes_it_in_too(shop: Shop) -> None:
    assert "inner-dev--mail" in foreign.physical(shop.inner, "SQS::Queue", "QueueName")
    assert "inner-dev--mail" in foreign.physical(shop.inner, "Lambda::Function", "FunctionName")
    assert not shop.inner.resources("CloudWatch::Alarm")


def test_the_hosts_topic_gets_the_alarms(shop: Shop) -> None:
    alarms = shop.made.resources("CloudWatch::Alarm")
    (topic,) = [name for name in shop.made.logical_ids("SNS::Topic") if name.startswith("OnCall")]
    assert alarms
    assert all(each["AlarmActions"] == [{"Ref": topic}] for each in alarms)
    assert len(shop.made.resources("SNS::Topic")) == 1


def test_only_consumers_of_queues_with_vpc_run_in_the_hosts_vpc(shop: Shop) -> None:
    functions = {text(each["FunctionName"]): each for each in shop.made.resources("Lambda::Function")}
    assert {name for name, each in functions.items() if "VpcConfig" in each} == {"shop-prod--mail"}
    shop.tasks.queue("mail").consumer.connections  # noqa: B018 - raises unless the CDK knows its network


def test_a_stage_has_numbers_of_its_own(shop: Shop) -> None:
    assert shop.made.named("Lambda::Function", "FunctionName", "shop-prod--slow")["MemorySize"] == 2048
    assert shop.tasks.queue("slow").declared.memory == 2048


def test_what_works_is_made_after_all_that_it_finds_by_name(shop: Shop) -> None:
    resources = shop.made.json["Resources"]
    for name in ("Tasks", "Billing"):
        (between,) = [each for each in resources if each.startswith(f"{name}StateIsThere")]
        state = {each for each in resources if each.startswith(f"{name}State") and each != between}
        work = {each for each in resources if each.startswith(f"{name}Work")}
        assert set(resources[between]["DependsOn"]) == state
        assert len(work) > 10
        assert all(between in resources[each]["DependsOn"] for each in work)


def test_everything_is_an_object_of_the_cdk(shop: Shop) -> None:
    mail, outbox = shop.tasks.queue("mail"), shop.tasks.outbox
    tables = (shop.tasks.records, shop.tasks.table("orders"), outbox.table)
    for kind, tokens in {
        "SQS::Queue": [mail.queue.queue_arn, mail.dead_letter_queue.queue_arn],
        "DynamoDB::Table": [table.table_arn for table in tables],
        "Lambda::Function": [each.function_arn for each in (mail.consumer, outbox.relay, outbox.sweeper)],
        "S3::Bucket": [shop.tasks.payloads.bucket_arn],
        "CloudWatch::Alarm": [each.alarm_arn for each in mail.alarms],
    }.items():
        ids = {shop.stack.resolve(token)["Fn::GetAtt"][0] for token in tokens}
        assert len(ids) == len(tokens)
        assert ids <= set(shop.made.logical_ids(kind))
    assert len(mail.alarms) == 5
    assert set(mail.alarms) < set(shop.tasks.alarms)
    assert shop.tasks.dashboard is not None
    assert (mail.alias, shop.tasks.key, shop.tasks.outbox.bus) == (None, None, None)


def test_metrics_have_the_names_of_their_application_after_it_is_built(shop: Shop) -> None:
    assert shop.tasks.metric_dead_letters("mail").dimensions == {"QueueName": "shop-prod--mail-dlq"}
    assert shop.other.queue("mail").metric_waiting().dimensions == {"QueueName": "billing-prod--mail"}
    assert shop.other.queue("mail").metric("Succeeded").dimensions == {
        "queue": "mail",
        "service": "tasks",
        "stage": "billing-prod",
    }
    assert shop.tasks.outbox.metric_parked().dimensions == {"service": "outbox", "stage": "shop-prod"}
    assert shop.tasks.metric_dead_letters("mail").period.to_seconds() == timedelta(minutes=1).total_seconds()


def test_an_escape_hatch_reaches_each_resource(folder: Path) -> None:
    stack = cdk.Stack(foreign.app(), "Host")
    source = foreign.package(folder, "hatch_tasks")
    tasks = Celeriac(stack, "Tasks", source=source, name="hatch", stage="dev", settings=StageSettings(keep=False))
    tasks.queue("mail").mapping.node.default_child.add_property_override("BatchSize", 7)  # type: ignore[union-attr]
    tasks.outbox.relay.node.default_child.add_property_override("MemorySize", 1024)  # type: ignore[union-attr]
    made = foreign.template(stack)
    assert 7 in [each.get("BatchSize") for each in made.resources("Lambda::EventSourceMapping")]
    assert made.named("Lambda::Function", "FunctionName", "hatch-dev--relay")["MemorySize"] == 1024


def test_the_state_can_be_in_a_stack_of_its_own(folder: Path) -> None:
    app = foreign.app()
    data, code = (
        cdk.Stack(app, name, env=cdk.Environment(account="123456789012", region="eu-west-1"))
        for name in ("Data", "Code")
    )
    source = foreign.package(folder, "apart_tasks")
    Celeriac(code, "Tasks", source=source, name="apart", stage="prod", state_scope=data)
    Celeriac(code, "Twice", source=source, name="apart", stage="qa", state_scope=data)
    assert [each.stack_name for each in code.dependencies] == ["Data"]
    state, work = foreign.template(data), foreign.template(code)
    assert {"SQS::Queue", "DynamoDB::Table", "Logs::LogGroup"} <= state.kinds()
    assert not {"SQS::Queue", "DynamoDB::Table"} & work.kinds()
    assert "Lambda::Function" not in state.kinds()
    assert {"apart-prod--mail", "apart-qa--mail"} <= foreign.physical(state, "SQS::Queue", "QueueName")


def test_on_the_local_cloud_any_stage_has_only_what_its_cloudformation_knows(
    tmp_path: Path,
) -> None:
    with foreign.imports_of(tmp_path) as root:
        source = foreign.package(root, "tried_tasks")
        stack = cdk.Stack(foreign.app(local_cloud="true"), "Host")
        Celeriac(stack, "Tasks", source=source, name="tried", stage="prod", settings=StageSettings(canary=True))
        kinds = foreign.template(stack).kinds()
    assert not {kind for kind in kinds if kind.startswith(("CodeDeploy::", "Logs::QueryDefinition"))}
    assert "CloudWatch::Alarm" in kinds


def test_the_cdk_warns_of_a_template_that_is_too_large_and_can_write_it_without_indentation(
    tmp_path: Path,
) -> None:
    with foreign.imports_of(tmp_path) as root:
        app = foreign.app(**{"@aws-cdk/core:suppressTemplateIndentation": True})
        stacks = [cdk.Stack(app, "Small"), cdk.Stack(app, "Large", suppress_template_indentation=False)]
        source = foreign.package(root, "large_tasks")
        for stack in stacks:
            stack.template_options.metadata = {"beside": "x" * 960_000}
        for stack, name in zip(stacks, ("small", "large"), strict=True):
            Celeriac(stack, "Tasks", source=source, name=name, stage="qa")
        small, large = (app.synth().get_stack_by_name(stack.stack_name) for stack in stacks)
    assert len(Path(small.template_full_path).read_text().splitlines()) == 1
    assert any("suppressTemplateIndentation" in str(each.entry.data) for each in large.messages)
