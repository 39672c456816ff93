"""One stage: what was configured and declared, turned into its two stacks."""

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_

from celeriac.model import names
from celeriac.model.declaration import DeclarationError
from infra.application import ApplicationState, application
from infra.bundle import LAMBDA_ARM64, THIS_MACHINE, BundleError, build_bundle
from infra.config import ConfigError, StageConfig, read_config
from infra.declarations import declarations
from infra.nag import check_rules
from infra.services import ServiceError
from infra.state import State
from infra.work import Work

USER_ERRORS = (BundleError, ConfigError, DeclarationError, ServiceError)
_ROOT = Path(__file__).parents[1]


def declare_stage(app: cdk.App) -> tuple[State, Work]:
    """Add the stacks of the stage that the context asks for; raise one of USER_ERRORS for what can't be built."""
    config = read_config(app.node)
    queues, tables, tasks = declarations()
    state = State(app, config, queues=queues, tables=tables, application=ApplicationState)
    work = Work(
        app,
        config,
        queues=queues,
        tables=tables,
        tasks=tasks,
        application=application(app.node, config),
        code=lambda_.Code.from_asset(str(_code(app, config))),
        outbox_stream_arn=state.outbox_stream_arn,
        key_arn=state.key.key_arn if state.key is not None else None,
    )
    # Said here and not left to the one import: the functions know queues by name, and these must come first.
    work.add_stack_dependency(state)
    check_rules(app, config)
    if config.keep_data and config.alarm_email is None:
        cdk.Annotations.of(work).add_warning_v2(
            "celeriac:alarms",
            f"nobody hears the alarms of {config.stage}: write -c alarm_email=name@example.org, or subscribe to the "
            f"topic {names.prefix(config.stage)}-alarms",
        )
    return state, work


def _code(app: cdk.App, config: StageConfig) -> Path:
    """Return the bundle; or the bare sources for commands that deploy nothing, such as `cdk list` and `cdk destroy`.

    The CLI says which stacks it will deploy by the context that CDK's own bundling obeys.
    """
    if app.node.try_get_context("aws:cdk:bundling-stacks") == []:
        return _ROOT / "functions"
    return build_bundle(_ROOT, THIS_MACHINE if config.local else LAMBDA_ARM64)
