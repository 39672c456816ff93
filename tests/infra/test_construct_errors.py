"""What `Celeriac` refuses: each error names the cause and what to do."""

from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_sns as sns

from celeriac.model import names, settings
from celeriac.model.errors import DeclarationError
from celeriac_cdk import Celeriac, ConfigError, QueueNumbers, StageSettings, Vpc
from tests.infra import foreign


def take_in(folder: Path, package: str = "refused_tasks", **changes: Any) -> Celeriac:
    app = foreign.app()
    stack = cdk.Stack(app, "Host", env=cdk.Environment(account="123456789012", region="eu-west-1"))
    source = folder / package if (folder / package).is_dir() else foreign.package(folder, package)
    return Celeriac(stack, "Tasks", **{"source": source, "name": "shop", "stage": "qa", **changes})


def test_one_stage_of_one_application_in_one_app_for_one_account_and_region(folder: Path) -> None:
    app, source = foreign.app(), foreign.package(folder, "once_tasks")
    here, agnostic = cdk.Stack(app, "Here"), cdk.Stack(app, "There")
    pinned = cdk.Stack(app, "Pinned", env=cdk.Environment(account="123456789012", region="eu-west-1"))
    Celeriac(here, "Tasks", source=source, name="shop", stage="qa")
    Celeriac(here, "Other", source=source, name="shop", stage="qa-2")
    Celeriac(pinned, "Tasks", source=source, name="shop", stage="qa")
    with pytest.raises(
        ConfigError, match=r"There/Tasks: the application 'shop' has the stage 'qa' twice in one account"
    ):
        Celeriac(agnostic, "Tasks", source=source, name="shop", stage="qa")
    Celeriac(cdk.Stack(foreign.app(), "Here"), "Tasks", source=source, name="shop", stage="qa")


def test_two_stages_of_the_cdk_without_env_are_told_of_it(folder: Path) -> None:
    app, source = foreign.app(), foreign.package(folder, "staged_tasks")
    first, second = (cdk.Stack(cdk.Stage(app, name), "Host") for name in ("Here", "There"))
    Celeriac(first, "Tasks", source=source, name="shop", stage="qa")
    with pytest.raises(ConfigError, match=r"There/Host/Tasks: .* give their stacks, or stages of the CDK, an env="):
        Celeriac(second, "Tasks", source=source, name="shop", stage="qa")


def test_a_package_that_a_task_imports_and_that_is_not_installed(folder: Path) -> None:
    source = foreign.package(folder, "lacking_tasks")
    (source / "slugs.py").write_text("import slugify2\n")
    with pytest.raises(ModuleNotFoundError, match=r"'slugify2' \(a package is added by: uv add slugify2\)"):
        take_in(folder, "lacking_tasks")


def test_two_packages_of_one_import_name(folder: Path) -> None:
    take_in(folder)
    other = foreign.package(folder / "other", "refused_tasks")
    with pytest.raises(
        DeclarationError, match=r"other/refused_tasks and .*/refused_tasks have one import name, 'refused"
    ):
        take_in(folder, source=other)


def test_two_modules_of_one_name_beside_two_packages(folder: Path) -> None:
    for root, package in (("one", "first_tasks"), ("two", "second_tasks")):
        foreign.package(folder / root, package, queues=f"import rates_of_host\n{foreign.QUEUES}")
        (folder / root / "rates_of_host.py").touch()
    take_in(folder / "one", "first_tasks")
    with pytest.raises(DeclarationError, match=r"two/rates_of_host.py and .*one/rates_of_host.py have one import name"):
        take_in(folder / "two", "second_tasks")


def test_a_package_that_python_has_from_elsewhere(folder: Path) -> None:
    with pytest.raises(DeclarationError, match=r"xdist.* have one import name, 'xdist'"):
        take_in(folder, "xdist")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"source": "nowhere/tasks"}, "source is 'nowhere/tasks', and there is no folder /.*/nowhere/tasks: name the"),
        ({"name": None}, 'Host/Tasks: the application has no name: give name="shop", or write one in celeriac.toml'),
        ({"name": "My-Shop"}, "the application's name 'My-Shop' can't be part of a resource's name"),
        ({"stage": "Prod"}, "Host/Tasks: the stage 'Prod' can't be part"),
        (
            {"queues": {"mial": QueueNumbers(memory=1024)}},
            "the stage qa: queues.mial: no queue has that name; there are",
        ),
        ({"queues": {"mail": QueueNumbers(memory=1)}}, "the stage qa: queues.mail: queue 'mail': memory is 1, Lambda"),
        ({"settings": StageSettings(account="210987654321")}, "to the account 210987654321, and its stack is for 123"),
        ({"settings": StageSettings(runbook="x" * 400)}, "Host/Tasks: runbook has 400 characters"),
        ({"security_groups": ["sg"]}, "Host/Tasks: vpc_subnets and security_groups need vpc="),
    ],
    ids=str,
)
def test_an_argument_that_cannot_be_used(folder: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises((ConfigError, DeclarationError), match=complaint):
        take_in(folder, **changes)


def test_both_halves_are_in_one_account_and_region(folder: Path) -> None:
    elsewhere = cdk.Stack(foreign.app(), "Data", env=cdk.Environment(account="123456789012", region="us-east-1"))
    with pytest.raises(ConfigError, match="Host/Tasks: state_scope is in another account or region"):
        take_in(folder, state_scope=elsewhere)


def test_a_topic_and_addresses_exclude_each_other(folder: Path) -> None:
    topic = sns.Topic.from_topic_arn(cdk.Stack(foreign.app(), "Theirs"), "Topic", "arn:aws:sns:eu-west-1:1:pages")
    with pytest.raises(ConfigError, match="alarm_topic is given, and the settings of the stage have alarm_emails"):
        take_in(folder, alarm_topic=topic, settings=StageSettings(alarm_emails=("ops@example.org",)))


def test_names_that_are_not_declared(folder: Path) -> None:
    tasks = take_in(folder)
    with pytest.raises(ConfigError, match=r"refused_tasks/queues.py declares no queue 'mial'; there are mail"):
        tasks.queue("mial")
    with pytest.raises(ConfigError, match=r"refused_tasks/tables.py declares no table 'orders'; it declares none"):
        tasks.table("orders")


def test_errors_of_declarations_name_the_package(folder: Path) -> None:
    foreign.package(folder, "lonely_tasks", tasks='from celeriac import Queue, task\n@task(Queue("x"))\ndef go(): ...')
    with pytest.raises(DeclarationError, match=r"which lonely_tasks/queues.py doesn't declare"):
        take_in(folder, "lonely_tasks")


def test_a_queue_of_a_vpc_needs_one(folder: Path) -> None:
    foreign.package(folder, "net_tasks", queues='from celeriac import Queue\nmail = Queue("mail", vpc=True)\n')
    with pytest.raises(ConfigError, match="or give vpc= to Celeriac"):
        take_in(folder, "net_tasks")
    ids = Vpc(subnets=("subnet-0123456789abcdef0",), security_groups=("sg-0123456789abcdef0",))
    take_in(folder, "net_tasks", settings=StageSettings(vpc=ids))


def test_a_vpc_that_no_queue_uses_is_a_warning(folder: Path) -> None:
    stack = cdk.Stack(foreign.app(), "Host")
    source = foreign.package(folder, "refused_tasks")
    tasks = Celeriac(stack, "Tasks", source=source, name="shop", stage="qa", vpc=ec2.Vpc(stack, "Vpc"))
    warnings = [str(each.data) for each in tasks.node.metadata]
    assert any("vpc is given, and no consumer runs in it" in each for each in warnings)
    assert any("nobody receives the alarms of the stage qa: give alarm_topic= to Celeriac" in each for each in warnings)


def test_what_is_refused_leaves_no_name_behind(folder: Path) -> None:
    before = settings.application(), names.prefix("qa")
    with pytest.raises(ConfigError):
        take_in(folder, queues={"mail": QueueNumbers(), "mial": QueueNumbers()}, stage="NO")
    with pytest.raises(DeclarationError):
        take_in(folder, queues={"mial": QueueNumbers()})
    assert (settings.application(), names.prefix("qa")) == before


def test_the_file_of_the_project_names_the_application_and_the_settings(folder: Path) -> None:
    (folder / settings.FILE).write_text(
        'name = "filed"\n[stages.qa]\nephemeral = true\n[stages.qa.queues.mail]\nmemory = 256\n'
    )
    tasks = take_in(folder, name=None, queues={})
    assert tasks.environment[settings.APPLICATION] == "filed"
    assert (tasks.dashboard, tasks.alarms) == (None, ())
    assert tasks.queue("mail").declared.memory == 256


VPC_QUEUES = 'from celeriac import Queue\nmail = Queue("mail", vpc=True)\n'


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"queues": {"mial": QueueNumbers()}}, DeclarationError),
        ({"settings": StageSettings(runbook="x" * 400)}, ConfigError),
        ({"vpc": object()}, Exception),
    ],
    ids=("early", "before", "late"),
)
def test_after_an_error_the_same_instance_can_be_built(
    folder: Path, changes: dict[str, Any], error: type[Exception], *, apart: bool
) -> None:
    app, source = foreign.app(), foreign.package(folder, "again_tasks", queues=VPC_QUEUES)
    stack, data = cdk.Stack(app, "Host"), cdk.Stack(app, "Data")
    given: dict[str, Any] = {"source": source, "name": "shop", "stage": "qa", "vpc": ec2.Vpc(stack, "Vpc")}
    given["state_scope"] = data if apart else None
    with pytest.raises(error):
        Celeriac(stack, "Tasks", **{**given, **changes})
    assert (stack.node.try_find_child("Tasks"), data.node.children) == (None, [])
    tasks = Celeriac(stack, "Tasks", **given)
    assert tasks.queue("mail").declared.vpc
    with pytest.raises(ConfigError, match="twice in one account and region"):
        Celeriac(stack, "Other", **given)
    assert foreign.template(stack).named("Lambda::Function", "FunctionName", "shop-qa--mail")


def test_a_construct_that_has_the_id_of_the_state_stays(folder: Path) -> None:
    app, source = foreign.app(), foreign.package(folder, "again_tasks")
    stack, data = cdk.Stack(app, "Host"), cdk.Stack(app, "Data")
    theirs = sns.Topic(data, "TasksState")
    with pytest.raises(RuntimeError, match="already a Construct with name 'TasksState'"):
        Celeriac(stack, "Tasks", source=source, name="shop", stage="qa", state_scope=data)
    assert data.node.try_find_child("TasksState") is theirs


def test_the_traceback_of_an_error_with_a_cure_is_short(folder: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        take_in(folder, queues={"mial": QueueNumbers()})
    files = [Path(entry.path).name for entry in caught.traceback]
    assert (files[-1], files.count("celeriac.py")) == ("celeriac.py", 1)
    assert caught.value.__suppress_context__
