"""The two stacks of a stage, built from its configuration and declarations."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aws_cdk as cdk
import boto3
from botocore.loaders import Loader
from botocore.regions import EndpointResolver

from celeriac.model import settings
from celeriac.model.errors import DeclarationError
from celeriac.model.on_path import put_on_path
from celeriac.model.stages import Project, ProjectError
from celeriac_cdk import sizes
from celeriac_cdk.application import Application, Describe
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.config import BuildState, ConfigError, StageConfig, read_config
from celeriac_cdk.constructs.code import codes
from celeriac_cdk.declarations.load import declarations
from celeriac_cdk.declarations.numbers import with_numbers
from celeriac_cdk.halves.page import operators_page
from celeriac_cdk.halves.work import warn_of_silence
from celeriac_cdk.nag import check_rules
from celeriac_cdk.stacks.state import StateStack
from celeriac_cdk.stacks.work import WorkStack
from celeriac_cdk.user_errors import USER_ERRORS as USER_ERRORS  # noqa: PLC0414 - app.py of 0.1.0 imports it here

_TWICE = re.compile(r"already a Construct with name '(?P<id>.+?)' in \w+(?: \[(?P<scope>.*?)\])?")
_TOO_MANY = re.compile(
    r"resources in stack '(?P<stack>.+?)': (?P<count>\d+) is greater than allowed maximum of (?P<most>\d+)"
)


def declare_stage(app: cdk.App, root: Path, project: Project, *, state: BuildState, application: Describe) -> None:
    """Add the stacks of the stage that the context names. Raises one of USER_ERRORS if the stage can't be built.

    root: the folder that holds uv.lock and pyproject.toml.
    project: what celeriac.toml says.
    state, application: the class and the function of infra/application.py.
    """
    with settings.named(project.name):
        _declare(app, root, project, state, application)


def _declare(app: cdk.App, root: Path, project: Project, state: BuildState, application: Describe) -> None:
    config = read_config(app.node, project)
    _check_regions(config)
    source = Source((root / project.source).resolve(), root.resolve())
    put_on_path(source.root)
    declared_queues, tables, tasks = declarations()
    queues = with_numbers(declared_queues, config)
    described: object = application(app.node, config)
    if not isinstance(described, Application):
        raise ConfigError(
            f"application() in infra/application.py returns {described!r}: end it with `return application`, an "
            "object of the class Application"
        )
    for region in config.settings.regions or (None,):
        kept = StateStack(app, config, queues=queues, tables=tables, tasks=tasks, application=state, region=region)
        described.check_built(kept)
        work = WorkStack(
            app,
            config,
            queues=queues,
            tables=tables,
            tasks=tasks,
            application=described,
            code=codes(app.node, source, config),
            outbox_stream_arn=kept.state.outbox_stream_arn,
            key_arn=kept.state.key.key_arn if kept.state.key is not None else None,
            region=region,
        )
        # The functions find the queues by name, so the queues must exist first. The import of the stream's ARN orders
        # the stacks too, but only as a side effect.
        work.add_stack_dependency(kept)
        web = described.page(work) if described.page is not None and not config.local else None
        operators_page(work.work, web, source, context=app, vpc=None, key=work.key)
        warn_of_silence(work, config)
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
    # From botocore's own file: a session would read AWS_PROFILE, and a synth needs no profile.
    resolver = EndpointResolver(Loader().load_data("endpoints"))
    known = {
        region
        for partition in resolver.get_available_partitions()
        for region in resolver.get_available_endpoints("sqs", partition)
    }
    for region in config.settings.regions:
        if region not in known:
            raise ProjectError(
                f"{settings.FILE}: stages.{config.stage}.regions contains {region!r}, which boto3 {boto3.__version__} "
                "doesn't know: correct it, or for a new region: uv lock --upgrade-package boto3"
            )
