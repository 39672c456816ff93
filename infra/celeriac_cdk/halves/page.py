"""The operators' page beside the work of a stage, and what a process must know to speak to the stage."""

from typing import TYPE_CHECKING

from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from constructs import IConstruct

from celeriac.model import settings
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.config import StageConfig
from celeriac_cdk.constructs.code import page as bundle_of_page
from celeriac_cdk.constructs.key import encrypting
from celeriac_cdk.halves.work import Work

if TYPE_CHECKING:
    from celeriac_cdk.page.operators_page import OperatorsPage
    from celeriac_cdk.page.settings import Web


def operators_page(
    work: Work, web: "Web | None", source: Source, *, context: IConstruct, vpc: ec2.IVpc | None, key: kms.IKey | None
) -> "OperatorsPage | None":
    """Build the page into the work, as its child `Page`. Without `web`, and in the local cloud, there is none.

    context: what tells whether bundles are built. vpc: where it runs, if `web` doesn't say. key: the stage's.
    """
    config = work.config
    if web is None or config.local:
        return None
    from celeriac_cdk.page.container import Code  # noqa: PLC0415 - aws_ecs and the like take a second, for few
    from celeriac_cdk.page.operators_page import OperatorsPage  # noqa: PLC0415

    folder = bundle_of_page(context.node, source, work.architecture, work.python)
    code = Code(str(folder), work.architecture, work.python.removeprefix("python"))
    environment = environment_of(config, source.package.name, key)
    return OperatorsPage(work, "Page", config, web, vpc=vpc, code=code, environment=environment)


def environment_of(config: StageConfig, package: str, key: kms.IKey | None) -> dict[str, str]:
    """What a process needs in its environment to send to the stage, and to ask it.

    package: the import name of the package with the tasks.
    """
    encrypts = encrypting(key, config)
    return {
        settings.APPLICATION: config.application,
        settings.STAGE: config.stage,
        settings.TASKS: package,
        **({"CELERIAC_KMS_KEY": encrypts.key_arn} if encrypts is not None else {}),
    }
