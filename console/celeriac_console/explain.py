"""Error messages for operators: each is one sentence with the cause and the cure."""

import functools
import re
from collections.abc import Callable

import typer
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    EndpointConnectionError,
    LoginError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from celeriac import InvalidArgumentsError, NoSuchQueueError
from celeriac.aws.client import error_code
from celeriac.model import settings
from celeriac.model.errors import DeclarationError, NotConfiguredError
from celeriac_console.application import by_name
from celeriac_console.stage import local_cloud
from celeriac_console.stage.deployed import stages
from celeriac_console.terminal.errors import (
    FAILED,
    INTERRUPTED,
    READER_GONE,
    USAGE,
    CommandInterruptedError,
    UserError,
)
from celeriac_console.terminal.next_steps import start_local
from celeriac_console.terminal.screen import forget_reader, say

LOG_IN = "your AWS credentials have expired or aren't known: log in again, for example with `aws sso login`"
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
# Of SQS and STS, of DynamoDB, and of S3.
UNKNOWN = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"})
is_default_stage = False
"""Whether the operator has named no stage, so that the command says which one it works on."""
_ACTION = re.compile(r"perform:? (\S+)")


def explained[**P](command: Callable[P, None], *, calls_aws: bool = True) -> Callable[P, None]:
    """Wrap `command`: an error prints a sentence, not a traceback, and the stage `local` means the local cloud."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            if calls_aws and settings.stage() == local_cloud.STAGE:
                local_cloud.enter()
            if calls_aws:
                by_name.warn_of_stage(settings.stage())
            if calls_aws and is_default_stage:
                say(f"The stage is {settings.stage()}: neither --stage nor {settings.STAGE} names one.", stderr=True)
            command(*args, **kwargs)
        except KeyboardInterrupt:
            _end("interrupted", INTERRUPTED)
        except CommandInterruptedError as interrupted:
            _end(f"interrupted: {interrupted}", INTERRUPTED)
        except BrokenPipeError:
            forget_reader()
            raise typer.Exit(READER_GONE) from None
        except Exception as error:
            found = explanation(error)
            if found is None:
                raise
            _end(*found)

    return run


def explanation(error: Exception) -> tuple[str, int] | None:
    """The message and the exit code for an error. None for an unknown error."""
    match error:
        case UserError() | InvalidArgumentsError() | DeclarationError():
            return str(error), USAGE
        case local_cloud.NotUpError():
            return str(error), FAILED
        case NoSuchQueueError():
            return f"{error}{stages()}", USAGE
        case NotConfiguredError() if error.__cause__ is not None:  # its cures are those of a program
            return explanation(error.__cause__)  # type: ignore[arg-type]  # botocore's error
        case NotConfiguredError():
            return str(error), USAGE
        case NoCredentialsError() | NoRegionError() | PartialCredentialsError():
            return f"{str(error).rstrip('.')}. Set AWS_PROFILE, or AWS_REGION and credentials.", FAILED
        case EndpointConnectionError():
            stage = settings.stage()
            cloud = (
                f"Is the local cloud running (`{start_local()}`)?"
                if stage == "local"
                else "For the local cloud: --stage local."
            )
            return f"{error} The stage is {stage}. Is the network up? {cloud}", FAILED
        case ClientError():
            return _refusal(error), FAILED
        case ProfileNotFound():
            return f"{error}. AWS_PROFILE names a profile that is not in ~/.aws/config.", USAGE
        case SSOError() | LoginError() | TokenRetrievalError() | CredentialRetrievalError():
            return f"{LOG_IN} ({error})", FAILED
        case BotoCoreError():
            return f"AWS can't be reached: {error}", FAILED
        case OSError() if error.filename is not None:
            return f"{error.filename}: {error.strerror}", USAGE
        case ValueError() if "endpoint" in str(error):
            return f"{error}: AWS_ENDPOINT_URL takes a URL, such as http://127.0.0.1:4566", USAGE
        case _:
            return None


def is_of_login(error: Exception) -> bool:
    """Whether the operator must log in again."""
    if isinstance(error, NotConfiguredError):
        return isinstance(error.__cause__, NoCredentialsError)
    if isinstance(error, SSOError | LoginError | TokenRetrievalError | CredentialRetrievalError | NoCredentialsError):
        return True
    return error_code(error) in EXPIRED | UNKNOWN


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
