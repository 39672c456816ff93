"""What a redrive leaves behind, in words."""

from celeriac_console.dlq.redriver import Redriver
from celeriac_console.terminal.plural import counted
from celeriac_console.terminal.screen import say


def say_left(redriver: Redriver) -> None:
    """Say which letters stay, and which could not be redriven or deleted; nothing if there are none."""
    if redriver.stayed:
        stays, has, died = ("stays", "It has", "It") if redriver.stayed == 1 else ("stay", "They have", "They")
        say(
            f"{counted(redriver.stayed, 'more letter')} {stays}. {has} the task and id of a redriven letter. "
            f"{died} died again meanwhile, or a worker died while it sent a letter, or the sender used the id twice. "
            "Redrive once more what stays.",
            stderr=True,
        )
    for failed, how in ((redriver.unsent, "not redriven"), (redriver.undeleted, "redriven, but not deleted")):
        if failed:
            were = "was" if len(failed) == 1 else "were"
            say(f"{counted(len(failed), 'letter')} {were} {how}. The first: {failed[0]}", stderr=True)
