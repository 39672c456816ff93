"""Buckets, secrets, settings and permissions of your own tasks. A team edits this file first."""

from aws_cdk import aws_kms as kms
from constructs import Construct, Node

from celeriac_cdk.application import Application
from celeriac_cdk.config import StageConfig
from infra import samples  # sample


class ApplicationState(Construct):
    """The application's storage beside its tables. functions/tasks/tables.py declares the tables."""

    def __init__(self, scope: Construct, config: StageConfig, key: kms.IKey | None) -> None:
        """Build the storage in the stateful stack, which remains when the functions are deleted."""
        super().__init__(scope, "Application")
        samples.WEBHOOK_SECRET.build(self, config, key)  # sample


def application(node: Node, config: StageConfig) -> Application:
    """Say what the tasks of each queue may do and know. Raises ConfigError for a wrong context value.

    Example: application.queue("reports").table("reports").environment(CURRENCY="EUR")
    """
    application = Application(config)
    samples.give(application, node)  # sample
    return application
