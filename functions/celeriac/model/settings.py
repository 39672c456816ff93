"""What the environment says, read when it is needed and never at import."""

import os

from celeriac.model import names


def stage() -> str:
    """The stage this process belongs to: CELERIAC_STAGE, `dev` where it isn't set."""
    return names.check_stage(os.environ.get("CELERIAC_STAGE", "dev"))


def kms_key() -> str | None:
    """The ARN of the key that encrypts schedules, CELERIAC_KMS_KEY; None: Scheduler's own does."""
    return os.environ.get("CELERIAC_KMS_KEY")


def logs_error_texts() -> bool:
    """Whether logs hold what errors say: CELERIAC_LOG_ERROR_TEXTS, which the stacks set on the local cloud alone."""
    return "CELERIAC_LOG_ERROR_TEXTS" in os.environ


def keeps_data(stage: str) -> bool:
    """Whether a stage's queues and tables outlive its stacks, so that a command asks before it reaches all of them."""
    return stage == "prod"
