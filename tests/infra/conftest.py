import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # jsii runs node

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import cx_api as cxapi
from aws_cdk.assertions import Template
from constructs import Construct

from celeriac import Backoff, Queue, Task
from celeriac.model.project import read
from celeriac.model.stages import Project, StageSettings
from celeriac.model.table import Table
from celeriac_cdk.application import Application
from celeriac_cdk.bundle.build import build_bundle
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import THIS_MACHINE
from celeriac_cdk.config import StageConfig, read_config
from celeriac_cdk.nag import acknowledge, check_rules
from celeriac_cdk.stacks.stage import declare_stage
from celeriac_cdk.stacks.state import StateStack
from celeriac_cdk.stacks.work import WorkStack
from infra import application as applications
from tests.infra import foreign
from tests.infra.template import Stack, Stage
from tests.support.library import librarys_application

QUEUES = (
    Queue("mail", timeout=timedelta(seconds=20), max_concurrency=7),
    Queue("slow", timeout=timedelta(minutes=15), batch_size=100, batch_window=timedelta(seconds=90)),
    Queue("spiky", pollers=(2, 20), max_age=timedelta(minutes=20)),
    Queue(
        "ledger",
        fifo=True,
        batch_size=5,
        retention=timedelta(days=1),
        patience=timedelta(hours=12),
        dead_letter_retention=timedelta(days=2),
    ),
)
TABLES = (Table("accounts", key="iban"),)
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:an-applications-own-*"


def give(config: StageConfig, queues: Sequence[Queue]) -> Application:
    """What infra/application.py of a user would give: a secret to the first two queues, the rest to the first one."""
    first, *second = (queue.name for queue in queues[:2])
    application = Application(config)
    use = iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[SECRET])
    application.queue(first, *second).allow(use, because="Secrets Manager ends an ARN with random characters")
    application.queue(first).environment(SECRET=SECRET).table(*(table.name for table in TABLES))
    return application


class ApplicationState(Construct):
    """Resources that an application stores itself, as infra/application.py of a user would declare them."""

    def __init__(self, scope: Construct, config: StageConfig, key: kms.IKey | None) -> None:
        super().__init__(scope, "Application")
        secret = secretsmanager.Secret(self, "Secret", encryption_key=key, removal_policy=config.removal_policy)
        acknowledge(secret, "SMG4", "a secret of the tests, which nothing uses")


def recurring(name: str, cron: str | None, timezone: str = "UTC", queue: Queue = QUEUES[0]) -> Task[..., Any, Any]:
    """A task that is not in the registry."""

    def function() -> None: ...

    return Task(
        function,
        queue,
        name=name,
        key=None,
        delivery="effectively_once",
        policy=Backoff(),
        timeout=None,
        on=None,
        cron=cron,
        timezone=timezone,
    )


TASKS = (
    recurring("archive", None, queue=QUEUES[1]),
    recurring("nightly", "0 3 * * *", "Europe/Berlin"),
    recurring("every five minutes " + "x" * 60, "rate(5 minutes)"),
    recurring("seldom", None),
)

ROOT = Path(__file__).parents[2]

PROJECT = Project("celeriac", {"prod": StageSettings(), "*": StageSettings(keep=False)})

type Synth = Callable[..., Stage]


@pytest.fixture(scope="session")
def synth() -> Synth:
    """The stacks of QUEUES and TABLES, for the context values given as keywords."""

    @cache
    def synthesize(**context: str) -> Stage:
        app = _app(context)
        config = _declare(app, QUEUES)
        if "rules" in context:
            check_rules(app, replace(config, settings=StageSettings()))  # raises for each finding
        return _read(app, config.stage)

    return synthesize


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for packages of tasks, which are forgotten after the test."""
    with foreign.imports_of(tmp_path):
        yield tmp_path


@pytest.fixture(scope="session")
def stage(synth: Synth) -> Stage:
    """A stage `test` of QUEUES and TABLES."""
    return synth(stage="test")


@pytest.fixture(scope="session")
def application() -> Stage:
    """The stage `dev` of the application in tests/application/."""
    return _of(librarys_stage(), "dev")


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone of this project, with the files that the bundle is built from.

    Real builds take their wheels from uv's cache, which `make setup` has filled.
    """
    clone = tmp_path_factory.mktemp("clone")
    for name in ("pyproject.toml", "uv.lock", "README.md"):
        shutil.copy(ROOT / name, clone)
    shutil.copytree(ROOT / "functions", clone / "functions")
    return clone


@pytest.fixture(scope="session", name="built")
def _built(project: Path) -> Path:
    try:
        return build_bundle(Source(project / "functions" / "tasks", project), THIS_MACHINE, offline=True)
    except BundleError as error:
        if "could not be fetched" in str(error) and not os.environ.get("CI"):
            pytest.skip("uv's cache lacks the wheels: run `make setup`")
        raise


def as_cdk_makes_it(**context: str) -> Stage:
    """The stage of everything that the application declares, for the context values given as keywords."""
    app = _app(context)
    declare_stage(
        app, ROOT, read(Path.cwd()), state=applications.ApplicationState, application=applications.application
    )
    return _read(app, context["stage"])


def built(project: Project, queues: Sequence[Queue] = QUEUES, **context: str) -> Stage:
    """The stacks of queues and TABLES, for what celeriac.toml says, and for the context values given as keywords."""
    app = _app(context)
    return _read(app, _declare(app, queues, project).stage)


def assembly(
    project: Project,
    queues: Sequence[Queue] = QUEUES,
    tasks: Sequence[Task[..., Any, Any]] | None = None,
    **context: str,
) -> cxapi.CloudAssembly:
    """The same in every region that celeriac.toml names, as the CDK's command line gets it."""
    app = _app(context)
    config = read_config(app.node, project)
    for region in config.settings.regions or (None,):
        _stacks(app, config, queues, tasks, region)
    check_rules(app, config)  # raises for each finding in a stage that keeps its data
    return app.synth()


def librarys_stage() -> cxapi.CloudAssembly:
    """The stage `dev` of the application in tests/application/."""
    with librarys_application():
        app = _app({"stage": "dev"})
        declare_stage(app, ROOT, PROJECT, state=ApplicationState, application=lambda _, config: Application(config))
        return app.synth()


def build(
    queues: Sequence[Queue], tasks: Sequence[Task[..., Any, Any]] | None = None, **context: str
) -> tuple[Stack, Stack]:
    """The stacks of other queues, and of other tasks than TASKS, for the context values given as keywords."""
    app = _app(context)
    stage = _read(app, _declare(app, queues, tasks=tasks).stage)
    return stage.state, stage.work


def warnings(queues: Sequence[Queue], **context: str) -> list[str]:
    """What the CDK warns of when it synthesizes these queues."""
    app = _app(context)
    _declare(app, queues)
    # The file, not the assembly's `messages`: jsii can't always read their type.
    files = sorted(Path(app.synth().directory).glob("*.metadata.json"))
    entries = [entry for file in files for found in json.loads(file.read_text()).values() for entry in found]
    return [entry["data"] for entry in entries if entry["type"] == "aws:cdk:warning"]


def _declare(
    app: cdk.App,
    queues: Sequence[Queue],
    project: Project = PROJECT,
    tasks: Sequence[Task[..., Any, Any]] | None = None,
) -> StageConfig:
    config = read_config(app.node, project)
    _stacks(app, config, queues, tasks)
    return config


def _stacks(
    app: cdk.App,
    config: StageConfig,
    queues: Sequence[Queue],
    tasks: Sequence[Task[..., Any, Any]] | None = None,
    region: str | None = None,
) -> None:
    tasks = TASKS if tasks is None else tasks
    with librarys_application():
        state = StateStack(
            app, config, queues=queues, tables=TABLES, tasks=tasks, application=ApplicationState, region=region
        )
        WorkStack(
            app,
            config,
            queues=queues,
            tables=TABLES,
            tasks=tasks,
            application=give(config, queues),
            code=lambda *_: lambda_.Code.from_asset(str(Path(__file__).parent)),
            outbox_stream_arn=state.state.outbox_stream_arn,
            key_arn=state.state.key.key_arn if state.state.key is not None else None,
            region=region,
        )


def _app(context: dict[str, str]) -> cdk.App:
    """An app that doesn't build the bundle."""
    return cdk.App(context={**context, "aws:cdk:bundling-stacks": []})


def _read(app: cdk.App, stage: str) -> Stage:
    return _of(app.synth(), stage)


def _of(assembly: cxapi.CloudAssembly, stage: str) -> Stage:
    found = {each.stack_name.partition("--")[2]: each for each in assembly.stacks}
    assert all(each.stack_name.partition("--")[0].endswith(f"-{stage}") for each in found.values())
    state, work = (
        Stack(found[part].stack_name, Template.from_json(found[part].template)) for part in ("state", "work")
    )
    return Stage(state, work)
