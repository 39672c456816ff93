"""`celeriac.configure`: where a producer sends, said in its code."""

import re
from typing import TYPE_CHECKING

from celeriac.model import given, settings

if TYPE_CHECKING:
    from boto3.session import Session

_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")


def configure(
    *,
    stage: str | None = None,
    region: str | None = None,
    application: str | None = None,
    session: "Session | None" = None,
) -> None:
    """Say which stage this process enqueues into. Call it once, at the start of a producer; it makes no call to AWS.

    stage: the stage's name, such as `prod`. Else the variable CELERIAC_STAGE. There is no default.
    region: the AWS region, such as `eu-central-1`. Else that of `session`, else AWS_DEFAULT_REGION, AWS_REGION, or the
        profile's.
    application: the name in celeriac.toml. Else the variable CELERIAC_APPLICATION, else the celeriac.toml of the
        current folder, or of the nearest one above it.
    session: a boto3 session, for other credentials than boto3's own. Give Celeriac one that no other thread uses, and
        make it after a fork.

    What isn't given, the environment decides. Each call replaces all values of the one before. After the first use,
    the same values change nothing, and other values raise AlreadyConfiguredError: a process works in one place. A
    forked process has the values of its parent.

    It has no effect on what Celeriac itself runs: in workers, in the command `celeriac`, while stacks are made, and in
    a test's sandbox the environment decides. So a module that workers import too may call it.

    Raises ValueError for a name that isn't one, and TypeError for a value of another type.
    """
    for name, value in (("stage", stage), ("region", region), ("application", application)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"configure({name}=...) takes a text, not {type(value).__name__}")
    if stage is not None:
        settings.check_stage(stage)
    if application is not None:
        settings.check_application(application)
    if region is not None and not _REGION.fullmatch(region):
        raise ValueError(f"{region!r} is no AWS region: write one such as eu-central-1")
    if session is not None and not callable(getattr(session, "client", None)):
        raise TypeError(f"configure(session=...) takes a boto3.Session, not {type(session).__name__}")
    given.change(given.Given(stage, region, application, session))
