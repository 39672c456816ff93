"""Buckets, secrets, settings and permissions of your own tasks."""

from aws_cdk import aws_kms as kms
from constructs import Construct, Node

from celeriac_cdk.application import Application
from celeriac_cdk.config import StageConfig


class ApplicationState(Construct):
    """The application's storage beside its tables, in the stack that remains when the functions are deleted."""

    def __init__(self, scope: Construct, config: StageConfig, key: kms.IKey | None) -> None:  # noqa: ARG002 - for yours
        """Build the storage."""
        super().__init__(scope, "Application")


def application(node: Node, config: StageConfig) -> Application:  # noqa: ARG001 - for your context values
    """Say what the tasks of each queue may do and know.

    Example: application.queue("words").environment(CURRENCY="EUR")
    """
    application = Application(config)
    # Grants go here.
    return application  # noqa: RET504 - the grants stand before it
