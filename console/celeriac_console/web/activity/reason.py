"""Why an action failed, in a few words that tell nothing of a task's arguments."""

import re

from celeriac.aws.client import error_code
from celeriac.model.failure import error_type

_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


def failed(error: BaseException) -> str:
    """That it failed, with AWS's code, such as `AccessDenied`; of another error, its class. Never its text."""
    code = error_code(error) if isinstance(error, Exception) else ""
    if _CODE.fullmatch(code):
        return f"failed: {code}"
    is_ours = type(error).__module__.startswith("celeriac_console.")
    return f"failed: {type(error).__name__ if is_ours else error_type(error)}"
