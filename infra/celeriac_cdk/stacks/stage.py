"""The two stacks of a stage, built from its configuration and declarations."""

from collections.abc import Sequence
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

from celeriac.model import names, settings
from celeriac.model.errors import DeclarationError
from celeriac.model.project import read
from celeriac.model.queue import Queue
from celeriac.model.stages import ProjectError
from celeriac_cdk.application import BuildState, Describe
from celeriac_cdk.bundle.build import LAMBDA_ARM64, THIS_MACHINE, BundleError, build_bundle
from celeriac_cdk.bundle.services import ServiceError
from celeriac_cdk.config import ConfigError, StageConfig, read_config
from celeriac_cdk.declarations.load import declarations
from celeriac_cdk.nag import check_rules
from celeriac_cdk.stacks.state import StateStack
from celeriac_cdk.stacks.work import WorkStack

USER_ERRORS = (BundleError, ConfigError, DeclarationError, ServiceError)


def declare_stage(app: cdk.App, root: Path, *, state: BuildState, application: Describe) -> None:
    """Add the stacks of the stage that the context names. Raises one of USER_ERRORS if the stage can't be built.

    root: the folder that holds celeriac.toml, functions/, uv.lock and pyproject.toml.
    state, application: the class and the function of infra/application.py.
    """
    config = read_config(app.node, read(root))
    declared_queues, tables, tasks = declarations()
    queues = _with_numbers(declared_queues, config)
    described = application(app.node, config)
    code = _code(app, root, config)
    for region in config.settings.regions or (None,):
        kept = StateStack(app, config, queues=queues, tables=tables, application=state, region=region)
        work = WorkStack(
            app,
            config,
            queues=queues,
            tables=tables,
            tasks=tasks,
            application=described,
            code=lambda_.Code.from_asset(str(code)),
            outbox_stream_arn=kept.outbox_stream_arn,
            key_arn=kept.key.key_arn if kept.key is not None else None,
            region=region,
        )
        # The functions find the queues by name, so the queues must exist first. The import of the stream's ARN orders
        # the stacks too, but only as a side effect.
        work.add_stack_dependency(kept)
        _warn_of_silence(work, config)
    check_rules(app, config)


def _with_numbers(queues: Sequence[Queue], config: StageConfig) -> list[Queue]:
    """The queues with the stage's own numbers. Raises ProjectError for a queue that isn't declared."""
    where = f"{settings.FILE}: stages.{config.stage}.queues"
    for name in sorted(config.settings.queues.keys() - {queue.name for queue in queues}):
        raise ProjectError(f"{where}.{name}: no queue has that name; there are {', '.join(q.name for q in queues)}")
    return [config.settings.applied(queue, f"{where}.{queue.name}") for queue in queues]


def _warn_of_silence(work: WorkStack, config: StageConfig) -> None:
    if config.keep_data and not (config.settings.alarm_emails or config.settings.alarm_topic):
        cdk.Annotations.of(work).add_warning_v2(
            "celeriac:alarms",
            f"nobody receives the alarms of the stage {config.stage}: write -c alarm_email=name@example.org, set "
            f"alarm_emails in {settings.FILE}, or subscribe to the topic {names.part(config.stage, 'alarms')}",
        )


def _code(app: cdk.App, root: Path, config: StageConfig) -> Path:
    """Return the bundle. Commands that deploy nothing, such as `cdk list` and `cdk destroy`, get the bare sources.

    For these commands the CDK's command line puts an empty list of stacks to bundle into the context.
    """
    if app.node.try_get_context("aws:cdk:bundling-stacks") == []:
        return root / "functions"
    return build_bundle(root, THIS_MACHINE if config.local else LAMBDA_ARM64)
