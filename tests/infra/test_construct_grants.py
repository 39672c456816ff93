"""Grants of `Celeriac`: rights and environment in one call, no more of either than a producer needs."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_

import celeriac
from celeriac import Queue, task
from celeriac.aws import sqs
from celeriac.testing import Sandbox
from celeriac_cdk import Celeriac, ConfigError, StageSettings
from tests.infra import foreign
from tests.infra.template import Stack, granted_by
from tests.infra.test_least_privilege import BESIDE, actions

OTHERS = 'from celeriac import Queue\n\nmail = Queue("mail")\nslow = Queue("slow", fifo=True)\n'
parcels = Queue("granted-parcels", max_body_bytes=2048)


@task(parcels)
def pack(what: str) -> str:
    return what


def built(folder: Path, **settings: object) -> tuple[cdk.Stack, Celeriac]:
    source = foreign.package(
        folder, "granted_tasks", queues=OTHERS, tables='from celeriac import Table\na = Table("a")\n'
    )
    stack = cdk.Stack(foreign.app(), "Host")
    chosen = StageSettings(keep=False, **settings)  # type: ignore[arg-type]
    return stack, Celeriac(stack, "Tasks", source=source, name="shop", stage="qa", settings=chosen)


def granted(made: Stack) -> dict[str, set[str]]:
    return made.granted("Api")


def test_a_grant_to_enqueue_gives_the_rights_and_the_environment(folder: Path) -> None:
    stack, tasks = built(folder)
    tasks.queue("mail").grant_enqueue(foreign.function(stack))
    made = foreign.template(stack)

    assert (
        foreign.variables(made, "Api")
        == {
            "CELERIAC_APPLICATION": "shop",
            "CELERIAC_STAGE": "qa",
            "CELERIAC_TASKS": "granted_tasks",
        }
        == tasks.environment
    )
    mine, policies = granted(made), made.resources("IAM::ManagedPolicy")
    (policy,) = [each for each in policies if "producer-mail" in str(each["ManagedPolicyName"])]
    assert mine == granted_by(policy["PolicyDocument"]["Statement"])
    assert not any("slow" in resource for resources in mine.values() for resource in resources)


def test_who_may_cancel_may_write_the_records_of_one_queues_tasks(folder: Path, sandbox: Sandbox) -> None:
    stack, tasks = built(folder)
    api = foreign.function(stack)
    tasks.queue("mail").grant_cancel(api)
    handle = pack.enqueue(what="")
    sandbox.calls.clear()
    assert handle.cancel("why")
    mine = set(granted(foreign.template(stack)))
    assert actions(Counter(sandbox.calls)) <= mine
    assert mine == {"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"}


def test_what_a_granted_function_calls_is_what_it_may_do(folder: Path, sandbox: Sandbox) -> None:
    stack, tasks = built(folder)
    api = foreign.function(stack)
    tasks.queue("mail").grant_enqueue(api)
    tasks.queue("mail").grant_read_status(api)
    tasks.outbox.grant_emit(api)

    sqs.urls.clear()
    sandbox.calls.clear()
    pack.enqueue(what="x" * 4096)
    handle = pack.options(delay=timedelta(days=3)).enqueue(what="")
    with celeriac.transaction() as tx:
        tx.emit("granted.event", {}, aggregate="g")
        tx.enqueue(pack, what="")
    celeriac.chain(pack.bind(what=""), pack.bind(what="")).enqueue()
    with celeriac.batch(then=pack.bind(what="")) as batch:
        batch.enqueue(pack, what="")
    batch.status()
    handle.status()
    # A look into the dead letters may be refused.
    called = actions(Counter(sandbox.calls)) - {"sqs:GetQueueAttributes"}
    assert set(granted(foreign.template(stack))) - BESIDE == called


def test_reading_a_status_is_limited_to_the_tasks_of_the_queue(folder: Path) -> None:
    stack, tasks = built(folder)
    tasks.queue("mail").grant_read_status(foreign.function(stack))
    made = foreign.template(stack)
    assert set(granted(made)) == {"dynamodb:GetItem", "dynamodb:BatchGetItem"}
    keys = [
        key
        for _, statement in made.statements()
        if "dynamodb:GetItem" in statement["Action"] and _is_of_api(statement, made)
        for key in statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    ]
    assert sorted(keys) == ["batch#mail#*", "celeriac#queue#mail#*", "clean#*", "send#*"]


def _is_of_api(statement: object, made: Stack) -> bool:
    role = made.named("Lambda::Function", "FunctionName", "Api")["Role"]["Fn::GetAtt"][0]
    return any(owner == role and each == statement for owner, each in made.statements())


def test_a_stage_with_a_key_tells_its_producers(folder: Path) -> None:
    stack, tasks = built(folder, kms=True)
    tasks.queue("mail").grant_enqueue(foreign.function(stack))
    made = foreign.template(stack)
    assert made.logical_ids("KMS::Key")[0] in str(foreign.variables(made, "Api")["CELERIAC_KMS_KEY"])
    assert "kms:GenerateDataKey" in granted(made)


def test_an_alias_a_container_and_a_role_may_be_granted_to(folder: Path) -> None:
    stack, tasks = built(folder)
    mail = tasks.queue("mail")
    api = foreign.function(stack)
    mail.grant_enqueue(lambda_.Alias(stack, "Live", alias_name="live", version=api.current_version))
    service = ecs.FargateTaskDefinition(stack, "Service")
    with pytest.raises(ConfigError, match="Host/Service has no container yet"):
        mail.grant_enqueue(service)
    service.add_container("web", image=ecs.ContainerImage.from_registry("web"))
    mail.grant_enqueue(service)
    role = iam.Role(stack, "Job", assumed_by=iam.ServicePrincipal("batch.amazonaws.com"))
    mail.grant_enqueue(role)

    made = foreign.template(stack)
    assert foreign.variables(made, "Api")["CELERIAC_STAGE"] == "qa"
    (definition,) = made.resources("ECS::TaskDefinition")
    environment = definition["ContainerDefinitions"][0]["Environment"]
    assert {"Name": "CELERIAC_APPLICATION", "Value": "shop"} in environment
    may_send = {owner for owner, each in made.statements() if "sqs:SendMessage" in each["Action"]}
    assert {name.rstrip("0123456789ABCDEF") for name in may_send} >= {"ApiServiceRole", "ServiceTaskRole", "Job"}


def test_a_function_works_with_one_application(folder: Path) -> None:
    stack, tasks = built(folder)
    other = Celeriac(stack, "Other", source=foreign.package(folder, "more_tasks"), name="more", stage="qa")
    api = foreign.function(stack)
    tasks.queue("mail").grant_enqueue(api)
    tasks.queue("slow").grant_enqueue(api)
    with pytest.raises(ConfigError, match=r"Host/Api works with the application 'shop', stage 'qa', .* let another"):
        other.queue("mail").grant_enqueue(api)
    with pytest.raises(ConfigError, match="works with the application 'shop'"):
        other.outbox.grant_emit(tasks.queue("mail").consumer)
    tasks.queue("mail").grant_read_status(tasks.queue("slow").consumer)


def test_a_table_is_given_to_the_tasks_of_a_queue(folder: Path) -> None:
    stack, tasks = built(folder)
    tasks.queue("mail").use_tables("a")
    with pytest.raises(ConfigError, match=r"granted_tasks/tables.py declares no table 'b'; there are a"):
        tasks.queue("mail").use_tables("b")
    may = foreign.template(stack).granted("shop-qa--mail")
    assert any(resource.endswith("table/shop-qa--a") for resource in may["dynamodb:UpdateItem"])


def pinned(region: str | None) -> cdk.Environment | None:
    return cdk.Environment(account="123456789012", region=region) if region else None


@pytest.mark.parametrize(("theirs", "place"), [("us-east-1", "the region us-east-1"), (None, "an unknown region")])
def test_a_grant_to_another_region_is_refused(folder: Path, theirs: str | None, place: str) -> None:
    app, source = foreign.app(), foreign.package(folder, "granted_tasks")
    ours = cdk.Stack(app, "Ours", env=pinned("eu-west-1"))
    tasks = Celeriac(ours, "Tasks", source=source, name="shop", stage="qa")
    api = foreign.function(cdk.Stack(app, "Theirs", env=pinned(theirs)))
    for grant in (tasks.queue("mail").grant_enqueue, tasks.queue("mail").grant_read_status, tasks.outbox.grant_emit):
        with pytest.raises(ConfigError, match=f"Theirs/Api is in .*{place}, and .* region eu-west-1: .* same env="):
            grant(api)
    assert "CELERIAC_STAGE" not in str(foreign.template(cdk.Stack.of(api)).resources("Lambda::Function"))


@pytest.mark.parametrize("region", [None, "eu-west-1"])
def test_a_grant_to_another_stack_of_the_same_region(folder: Path, region: str | None) -> None:
    app, source = foreign.app(), foreign.package(folder, "granted_tasks")
    tasks = Celeriac(cdk.Stack(app, "Ours", env=pinned(region)), "Tasks", source=source, name="shop", stage="qa")
    theirs = cdk.Stack(app, "Theirs", env=pinned(region))
    tasks.queue("mail").grant_enqueue(foreign.function(theirs))
    nested = cdk.NestedStack(theirs, "Nested")
    tasks.queue("mail").grant_enqueue(foreign.function(nested))
    assert "sqs:SendMessage" in foreign.template(theirs).granted("Api")


def test_a_role_of_another_region_is_refused(folder: Path) -> None:
    app, source = foreign.app(), foreign.package(folder, "granted_tasks")
    ours = cdk.Stack(app, "Ours", env=pinned("eu-west-1"))
    tasks = Celeriac(ours, "Tasks", source=source, name="shop", stage="qa")
    job = iam.ServicePrincipal("batch.amazonaws.com")
    role = iam.Role(cdk.Stack(app, "Theirs", env=pinned("us-east-1")), "Job", assumed_by=job)
    with pytest.raises(ConfigError, match=r"Theirs/Job is in .* region us-east-1"):
        tasks.queue("mail").grant_enqueue(role)
