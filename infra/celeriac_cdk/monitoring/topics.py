"""The topics of the alarms: pages, which need somebody now, and tickets, which can wait for the morning."""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from celeriac.model import names
from celeriac_cdk.config import StageConfig
from celeriac_cdk.permissions import arn

PAGES, TICKETS = "alarms", "tickets"


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of another application that the alarms go to."""

    pages: sns.ITopic | None = None
    tickets: sns.ITopic | None = None
    """None: they go to `pages` too."""


def build_topics(scope: Construct, config: StageConfig, key: kms.IKey | None, *, given: Topics | None = None) -> None:
    """Build the topics that the team doesn't have already, with the configured addresses.

    They are in the stateful stack: who subscribes to them by hand stays subscribed.
    """
    settings, given = config.settings, given or Topics()
    has_pages = settings.alarm_topic is not None or given.pages is not None
    if not has_pages:
        _topic(scope, "Alarms", config, key, name=PAGES, addresses=settings.alarm_emails)
    if settings.ticket_topic is None and given.tickets is None and not has_pages:
        _topic(scope, "Tickets", config, key, name=TICKETS, addresses=settings.ticket_emails or settings.alarm_emails)


def pages(scope: Construct, config: StageConfig, given: Topics | None = None) -> sns.ITopic:
    """Return the topic of the pages: the given one, that of `alarm_topic`, or the stage's."""
    if given is not None and given.pages is not None:
        return given.pages
    own = arn("sns", names.part(config.stage, PAGES))
    return sns.Topic.from_topic_arn(scope, "Alarms", config.settings.alarm_topic or own)


def tickets(scope: Construct, config: StageConfig, given: Topics | None = None) -> sns.ITopic:
    """Return the topic of the tickets: the given one, that of `ticket_topic`, else that of the pages, if the team has
    one, else the stage's.
    """
    if given is not None and given.tickets is not None:
        return given.tickets
    settings = config.settings
    if settings.ticket_topic is None and given is not None and given.pages is not None:
        return given.pages
    own = arn("sns", names.part(config.stage, TICKETS))
    return sns.Topic.from_topic_arn(scope, "Tickets", settings.ticket_topic or settings.alarm_topic or own)


def _topic(
    scope: Construct, id_: str, config: StageConfig, key: kms.IKey | None, *, name: str, addresses: Sequence[str]
) -> None:
    topic = sns.Topic(scope, id_, topic_name=names.part(config.stage, name), enforce_ssl=True, master_key=key)
    # This policy replaces SNS's default policy, which allows CloudWatch to publish. So it must allow that itself.
    topic.add_to_resource_policy(
        iam.PolicyStatement(
            principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
            actions=["sns:Publish"],
            resources=[topic.topic_arn],
            conditions={"StringEquals": {"aws:SourceAccount": cdk.Aws.ACCOUNT_ID}},
        )
    )
    for address in addresses:
        topic.add_subscription(subscriptions.EmailSubscription(address))
