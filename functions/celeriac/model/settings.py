"""The settings in environment variables. They are read when they are needed, never at import."""

import os

from celeriac.model import names


def stage() -> str:
    """Return the stage of this process: CELERIAC_STAGE, or `dev` if it isn't set."""
    return names.check_stage(os.environ.get("CELERIAC_STAGE", "dev"))


def kms_key() -> str | None:
    """Return the ARN of the key that encrypts schedules: CELERIAC_KMS_KEY. None means Scheduler's default key."""
    return os.environ.get("CELERIAC_KMS_KEY")


def logs_error_texts() -> bool:
    """Whether logs contain the texts of errors: CELERIAC_LOG_ERROR_TEXTS. The stacks set it only on the local cloud."""
    return "CELERIAC_LOG_ERROR_TEXTS" in os.environ


def keeps_data(stage: str) -> bool:
    """Whether a stage's queues and tables outlive its stacks. In such a stage, a redrive of all letters asks first."""
    return stage == "prod"
