"""What the environment says, read when it is needed and never at import."""

import os

from celeriac import names


def stage() -> str:
    """The stage this process belongs to: CELERIAC_STAGE, `dev` where it isn't set."""
    return names.check_stage(os.environ.get("CELERIAC_STAGE", "dev"))
