"""Suggestions for unknown commands."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from typer.core import TyperGroup

from celeriac_console.terminal.text import printable

# Words of other tools, and the commands that do the same here.
OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "purge": ("dlq discard",),
    "retry": ("dlq redrive",),
    "requeue": ("dlq redrive",),
    "replay": ("outbox replay", "dlq redrive"),
    "ls": ("queues", "tasks", "dlq list"),
    "list": ("queues", "tasks", "dlq list"),
    "rm": ("dlq discard",),
    "delete": ("dlq discard",),
    "clear": ("dlq discard",),
    "logs": ("tail",),
    "log": ("tail",),
    "inspect": ("status", "dlq show"),
    "show": ("status", "dlq show"),
    "result": ("status",),
    "get": ("status",),
    "find": ("status", "dlq list"),
    "failed": ("dlq list",),
    "errors": ("dlq list",),
    "dead": ("dlq list",),
    "stats": ("queues",),
    "top": ("queues --watch",),
    "watch": ("queues --watch",),
    "check": ("doctor",),
    "health": ("doctor",),
    "ping": ("doctor",),
    "call": ("send",),
    "apply": ("send",),
    "enqueue": ("send",),
    "run": ("send",),
    "stop": ("pause",),
    "start": ("resume",),
    "worker": ("queues",),
    "rate_limit": ("limits set",),
    "throttle": ("limits set",),
    "rate": ("limits",),
    "help": ("--help",),
    "version": ("--version",),
}
# The same for a group of commands. These suggestions come before those of OTHER_WORDS.
IN_GROUPS: Mapping[str, Mapping[str, str]] = {
    "dlq": {
        **dict.fromkeys(("ls", "status", "count"), "list"),
        **dict.fromkeys(("retry", "replay", "requeue", "rerun", "send"), "redrive"),
        **dict.fromkeys(("purge", "delete", "rm", "remove", "clear", "drop"), "discard"),
        **dict.fromkeys(("inspect", "get", "cat", "view"), "show"),
        **dict.fromkeys(("dump", "save", "backup"), "export"),
        **dict.fromkeys(("load", "restore"), "import"),
    },
    "quarantine": {
        **dict.fromkeys(("ls", "show", "status"), "list"),
        **dict.fromkeys(("delete", "rm", "remove", "end", "stop", "clear"), "lift"),
        **dict.fromkeys(("put", "set", "start"), "add"),
    },
    "limits": {
        **dict.fromkeys(("remove", "rm", "delete", "unset", "clear", "lift"), "reset"),
        **dict.fromkeys(("change", "add", "put"), "set"),
        **dict.fromkeys(("stop", "pause", "hold"), "open"),
        **dict.fromkeys(("start", "resume"), "close"),
    },
    "batches": {
        **dict.fromkeys(("ls", "late"), "list"),
        **dict.fromkeys(("status", "inspect", "get", "view"), "show"),
        **dict.fromkeys(("redrive", "retry", "finish", "fix", "seal", "cancel"), "repair"),
    },
    "outbox": {
        **dict.fromkeys(("ls", "list", "status", "show", "inspect"), "lag"),
        **dict.fromkeys(("retry", "redrive", "republish", "publish", "send"), "replay"),
    },
}


class Commands(TyperGroup):
    """A group that suggests commands for an unknown word. A suggested command is never run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that `args` name. Fails with a suggestion if there is none."""
        word = args[0]
        if self.get_command(ctx, word) is None and not word.startswith("-") and not ctx.resilient_parsing:
            meant = " or ".join(f"celeriac {words}" for words in self._meant(ctx, word))
            hint = f"Did you mean: {meant}?" if meant else f"{ctx.command_path} --help shows all."
            ctx.fail(printable(f"no such command {word!r}. {hint}"))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. An error message may quote the user's input, so it is made safe for a terminal."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "message") and isinstance(error.message, str):
                error.message = printable(error.message)
            raise

    def _meant(self, ctx: Any, word: str) -> list[str]:
        if ctx.parent is not None and ctx.info_name in IN_GROUPS:
            group = ctx.info_name
            other = IN_GROUPS[group].get(word)
            close = [other] if other else get_close_matches(word, self.commands, n=1)
            if close:
                return [f"{group} {name}" for name in close]
        root = ctx.find_root().command
        everything = list(_names(root))
        by_last = {words.split()[-1]: words for words in everything}
        if word in OTHER_WORDS:
            return list(OTHER_WORDS[word])
        # First a command of this exact name in another group or at the top, then commands with similar names.
        inside = [words for words in everything if words.split()[-1] == word]
        return inside or [by_last[name] for name in get_close_matches(word, by_last, n=2)]


def _names(group: Any) -> Iterator[str]:
    """Every command as it is typed, such as `dlq list`."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from (f"{name} {words}" for words in _names(command))
        yield name
