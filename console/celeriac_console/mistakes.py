"""An operator's mistakes, told in one sentence: what is wrong, and what to do."""

import functools
import re
from collections.abc import Callable
from difflib import get_close_matches

import typer
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from celeriac import InvalidArgumentsError, NoSuchQueueError
from celeriac.aws.client import client, error_code
from celeriac.declare import registry
from celeriac.model import settings
from celeriac.model.declaration import DeclarationError
from celeriac_console import local_cloud
from celeriac_console.screen import forget_reader, say

PROBLEM = 1
USAGE = 2
# What a shell makes of the signals SIGINT and SIGPIPE: of Ctrl-C, and of a reader that is gone, as `head` is.
INTERRUPTED = 130
READER_GONE = 141


class UserError(Exception):
    """Something that the caller can put right; its text says how."""


class CommandInterruptedError(Exception):
    """Ctrl-C ended the command; its text says how far it came, and what to type to go on."""


LOG_IN = "your AWS credentials have expired or aren't known: log in again, with `aws sso login` say"
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
UNKNOWN = frozenset({"InvalidClientTokenId", "UnrecognizedClientException"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
_ACTION = re.compile(r"perform:? (\S+)")


def explained[**P](command: Callable[P, None], *, calls_aws: bool = True) -> Callable[P, None]:
    """Let `command` end with a sentence instead of a traceback; in the stage `local` it talks to the local cloud."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            if calls_aws and settings.stage() == local_cloud.STAGE:
                local_cloud.enter()
            command(*args, **kwargs)
        except KeyboardInterrupt:
            _end("interrupted", INTERRUPTED)
        except CommandInterruptedError as interrupted:
            _end(f"interrupted: {interrupted}", INTERRUPTED)
        except BrokenPipeError:
            forget_reader()
            raise typer.Exit(READER_GONE) from None
        except Exception as error:
            found = told(error)
            if found is None:
                raise
            _end(*found)

    return run


def told(error: Exception) -> tuple[str, int] | None:
    """What to say of an error, with the exit code; None where nothing is known that would help."""
    match error:
        case UserError() | InvalidArgumentsError() | DeclarationError():
            return str(error), USAGE
        case local_cloud.NotUpError():
            return str(error), PROBLEM
        case NoSuchQueueError():
            return f"{error}{stages()}", USAGE
        case NoCredentialsError() | NoRegionError() | PartialCredentialsError():
            return f"{str(error).rstrip('.')}. Set AWS_PROFILE, or AWS_REGION and credentials.", PROBLEM
        case EndpointConnectionError():
            stage = settings.stage()
            cloud = (
                "Is the local cloud there (`make up`)?" if stage == "local" else "For the local cloud: --stage local."
            )
            return f"{error} The stage is {stage}. Is the network there? {cloud}", PROBLEM
        case ClientError():
            return _refusal(error), PROBLEM
        case ProfileNotFound():
            return f"{error}. AWS_PROFILE names one that ~/.aws/config has not.", USAGE
        case SSOError() | TokenRetrievalError():
            return f"{LOG_IN} ({error})", PROBLEM
        case BotoCoreError():
            return f"AWS can't be reached: {error}", PROBLEM
        case OSError() if error.filename is not None:
            return f"{error.filename}: {error.strerror}", USAGE
        case ValueError() if "endpoint" in str(error):
            return f"{error}: AWS_ENDPOINT_URL takes a URL, such as http://127.0.0.1:4566", USAGE
        case _:
            return None


def nearest(name: str, known: list[str]) -> str:
    """A sentence that helps who has mistyped `name`."""
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" Known are: {', '.join(sorted(known)) or 'none'}."


def stages() -> str:
    """Which stages there are, for somebody who has named another."""
    try:
        urls = client("sqs").list_queues(QueueNamePrefix="celeriac-").get("QueueUrls", [])
    except (BotoCoreError, ClientError):
        return ""
    ours = registry.queues()
    names = [url.rpartition("/")[2].removeprefix("celeriac-").removesuffix(".fifo") for url in urls]
    found = sorted({name.removesuffix(f"-{queue}") for name in names for queue in ours if name.endswith(f"-{queue}")})
    return f" Stages here: {', '.join(found)}." if found else " No stage is deployed here."


def _refusal(error: ClientError) -> str:
    code, text = error_code(error), str(error)
    if code in EXPIRED | UNKNOWN:
        return LOG_IN
    if code in DENIED:
        action = _ACTION.search(text)
        return f"you may not perform {action[1] if action else error.operation_name}; AWS says: {text}"
    return f"AWS refuses: {text}"


def _end(sentence: str, code: int) -> None:
    say(f"celeriac: {sentence}", style="red", stderr=True)
    raise typer.Exit(code)
