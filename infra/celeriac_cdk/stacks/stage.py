"""The two stacks of a stage, built from its configuration and declarations."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import aws_cdk as cdk
import boto3
from aws_cdk import aws_lambda as lambda_

from celeriac.model import names, settings
from celeriac.model.errors import DeclarationError
from celeriac.model.queue import Queue
from celeriac.model.stages import Project, ProjectError
from celeriac_cdk import sizes
from celeriac_cdk.application import Application, Describe
from celeriac_cdk.bundle.build import LAMBDA_ARM64, LAMBDA_X86_64, THIS_MACHINE, BundleError, build_bundle
from celeriac_cdk.bundle.services import ServiceError
from celeriac_cdk.config import BuildState, ConfigError, StageConfig, read_config
from celeriac_cdk.declarations.load import declarations
from celeriac_cdk.nag import check_rules
from celeriac_cdk.stacks.state import StateStack
from celeriac_cdk.stacks.work import WorkStack

_TWICE = re.compile(r"already a Construct with name '(?P<id>.+?)' in \w+(?: \[(?P<scope>.*?)\])?")
_TOO_MANY = re.compile(
    r"resources in stack '(?P<stack>.+?)': (?P<count>\d+) is greater than allowed maximum of (?P<most>\d+)"
)
USER_ERRORS = (BundleError, ConfigError, DeclarationError, ServiceError)


def declare_stage(app: cdk.App, root: Path, project: Project, *, state: BuildState, application: Describe) -> None:
    """Add the stacks of the stage that the context names. Raises one of USER_ERRORS if the stage can't be built.

    root: the folder that holds functions/, uv.lock and pyproject.toml.
    project: what celeriac.toml says.
    state, application: the class and the function of infra/application.py.
    """
    config = read_config(app.node, project)
    _check_regions(config)
    declared_queues, tables, tasks = declarations()
    queues = _with_numbers(declared_queues, config)
    described: object = application(app.node, config)
    if not isinstance(described, Application):
        raise ConfigError(
            f"application() in infra/application.py returns {described!r}: end it with `return application`, an "
            "object of the class Application"
        )
    for region in config.settings.regions or (None,):
        kept = StateStack(app, config, queues=queues, tables=tables, application=state, region=region)
        described.check_built(kept)
        work = WorkStack(
            app,
            config,
            queues=queues,
            tables=tables,
            tasks=tasks,
            application=described,
            code=_codes(app, root, config),
            outbox_stream_arn=kept.state.outbox_stream_arn,
            key_arn=kept.state.key.key_arn if kept.state.key is not None else None,
            region=region,
        )
        # The functions find the queues by name, so the queues must exist first. The import of the stream's ARN orders
        # the stacks too, but only as a side effect.
        work.add_stack_dependency(kept)
        _warn_of_silence(work, config)
    check_rules(app, config)


def synthesize(app: cdk.App) -> None:
    """Write the templates. Raises DeclarationError for what is more, or larger, than AWS takes."""
    try:
        assembly = app.synth()
    except RuntimeError as error:
        found = _TOO_MANY.search(str(error))
        if found is None:
            raise
        # Only the CDK knows the number: it spreads large policies over several.
        raise DeclarationError(
            f"the stack {found['stack']} would have {found['count']} resources, and CloudFormation takes "
            f"{found['most']}: let tasks share queues, turn the canary off, or split the application into two"
        ) from error
    for problem in sizes.problems(assembly):
        raise DeclarationError(problem)


@contextmanager
def in_a_sentence() -> Iterator[None]:
    """Turn the CDK's error about two constructs of one id into a DeclarationError: two things have one name."""
    try:
        yield
    except RuntimeError as error:
        found = _TWICE.search(str(error))
        if found is None:
            raise
        raise DeclarationError(
            f"two things are declared as {found['id']!r} in {found['scope'] or 'a stack'}: give one of them another "
            "name, or build it once"
        ) from error


def _check_regions(config: StageConfig) -> None:
    """Raise ProjectError for a region that boto3 doesn't know."""
    session = boto3.Session()
    known = {
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("sqs", partition)
    }
    for region in config.settings.regions:
        if region not in known:
            raise ProjectError(
                f"{settings.FILE}: stages.{config.stage}.regions contains {region!r}, which boto3 {boto3.__version__} "
                "doesn't know: correct it, or for a new region: uv lock --upgrade-package boto3"
            )


def _with_numbers(queues: Sequence[Queue], config: StageConfig) -> list[Queue]:
    """The queues with the stage's own numbers. Raises ProjectError for a queue that isn't declared."""
    file = f"{settings.FILE}: stages.{config.stage}"
    known = {queue.name for queue in queues}
    for key, named in (("queues", config.settings.queues), ("producers", config.settings.producers)):
        for name in sorted(named.keys() - known):
            raise ProjectError(f"{file}.{key}.{name}: no queue has that name; there are {', '.join(sorted(known))}")
    where = f"{file}.queues"
    return [config.settings.applied(queue, f"{where}.{queue.name}") for queue in queues]


def _warn_of_silence(work: WorkStack, config: StageConfig) -> None:
    if config.watched and not config.local and not (config.settings.alarm_emails or config.settings.alarm_topic):
        cdk.Annotations.of(work).add_warning_v2(
            "celeriac:alarms",
            f"nobody receives the alarms of the stage {config.stage}: write -c alarm_email=name@example.org, set "
            f"alarm_emails in {settings.FILE}, or subscribe to the topic {names.part(config.stage, 'alarms')}",
        )


def _codes(app: cdk.App, root: Path, config: StageConfig) -> Callable[[str], lambda_.Code]:
    """The bundle for each architecture, for one stack: the CDK ties an asset to a stack."""

    @cache
    def code(architecture: str) -> lambda_.Code:
        return lambda_.Code.from_asset(str(_bundle(app, root, config, architecture)))

    return code


def _bundle(app: cdk.App, root: Path, config: StageConfig, architecture: str) -> Path:
    """Return the bundle. Commands that deploy nothing, such as `cdk list` and `cdk destroy`, get the bare sources.

    For these commands the CDK's command line puts an empty list of stacks to bundle into the context.
    """
    if app.node.try_get_context("aws:cdk:bundling-stacks") == []:
        return root / "functions"
    on_lambda = LAMBDA_X86_64 if architecture == "x86_64" else LAMBDA_ARM64
    return build_bundle(root, THIS_MACHINE if config.local else on_lambda)
