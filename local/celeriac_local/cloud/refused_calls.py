"""Print the calls of tasks that AWS would refuse, as the emulator has noted them in its log."""

from rich.console import Console

from celeriac_local.folders import log
from celeriac_local.iam.refusal import noted


def report_calls(console: Console) -> None:
    """Print the calls since the cloud's start that the function's role doesn't grant, or that it may not grant."""
    titles = {"refused": "Refused so far, as AWS would:", "unknown": "Let through so far, but AWS may refuse it:"}
    for call in noted(log("emulator").read_text(errors="replace").splitlines()):
        console.print(titles[call.verdict], f"{call.action} on {call.resource} by {call.function}", markup=False)
