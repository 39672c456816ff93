"""What to type next on the local cloud."""

import json
import shlex

from celeriac.declare import registry
from celeriac.model import declared
from celeriac.model.errors import DeclarationError
from celeriac.model.on_path import put_on_path
from celeriac_local.errors import UserError
from celeriac_local.folders import celeriac, source_root

_EXAMPLE = "send_welcome_email"  # of the samples
_EXAMPLES_ARGS = {"user_id": 7, "email": "a@example.org"}


def command_to_send() -> str:
    """A command that sends a task of this application: a sample if there is one, else the first task by name.

    Raises UserError if functions/tasks/ can't be loaded.
    """
    load()
    if _EXAMPLE in registry.tasks:
        return _sending(_EXAMPLE, _EXAMPLES_ARGS)
    own = sorted(name for name, task in registry.tasks.items() if registry.is_of(task, declared.package()))
    if not own:
        return _sending("NAME", {"parameter": "value"})
    return _sending(own[0], dict.fromkeys(registry.tasks[own[0]].signature.fields, "..."))


def _sending(task: str, args: dict[str, object]) -> str:
    words = ["--json", json.dumps(args)] if args else []
    return shlex.join([celeriac(), "--stage", "local", "send", task, *words])


def load() -> None:
    """Import every task. Raises UserError if one of their modules can't be imported."""
    put_on_path(source_root())
    try:
        registry.load()
    except (ImportError, DeclarationError) as error:
        raise UserError(f"the tasks can't be loaded: {error}") from error
