"""An operator's mistakes, told in one sentence: what is wrong, and what to do."""

import functools
import os
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
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from celeriac import InvalidArgs, NoSuchQueue, registry, settings
from celeriac.aws import client, error_code
from celeriac.declaration import DeclarationError
from console import local_cloud

USAGE = 2
PROBLEM = 1
INTERRUPTED = 130


class Mistake(Exception):  # noqa: N818 - it is what it is
    """Something that the caller can put right; its text says how."""


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
        except (Mistake, InvalidArgs, DeclarationError) as error:
            _end(str(error), USAGE)
        except local_cloud.NotUp as error:
            _end(str(error), PROBLEM)
        except NoSuchQueue as error:
            _end(f"{error}{_stages()}", USAGE)
        except (NoCredentialsError, NoRegionError) as error:
            _end(f"{str(error).rstrip('.')}. Set AWS_PROFILE, or AWS_REGION and credentials.", PROBLEM)
        except EndpointConnectionError as error:
            _end(f"{error} Is the network, or the local cloud (`make up`), there?", PROBLEM)
        except ClientError as error:
            _end(_refusal(error), PROBLEM)
        except ProfileNotFound as error:
            _end(f"{error}. AWS_PROFILE names one that ~/.aws/config has not.", USAGE)
        except (SSOError, TokenRetrievalError) as error:
            _end(f"{LOG_IN} ({error})", PROBLEM)
        except BotoCoreError as error:
            _end(f"AWS can't be reached: {error}", PROBLEM)
        except OSError as error:
            if error.filename is None:
                raise
            _end(f"{error.filename}: {error.strerror}", USAGE)
        except ValueError as error:
            if "endpoint" not in str(error):
                raise
            _end(f"{error}: AWS_ENDPOINT_URL takes a URL, such as http://127.0.0.1:4566", USAGE)

    return run


def nearest(name: str, known: list[str]) -> str:
    """A sentence that helps who has mistyped `name`."""
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" Known are: {', '.join(sorted(known)) or 'none'}."


def _refusal(error: ClientError) -> str:
    code, text = error_code(error), str(error)
    if code in EXPIRED | UNKNOWN:
        return LOG_IN
    if code in DENIED:
        action = _ACTION.search(text)
        return f"you may not perform {action[1] if action else error.operation_name}; AWS says: {text}"
    return f"AWS refuses: {text}"


def _stages() -> str:
    """Which stages there are, for somebody who has named another."""
    try:
        urls = client("sqs").list_queues(QueueNamePrefix="celeriac-").get("QueueUrls", [])
    except (BotoCoreError, ClientError):
        return ""
    ours = registry.queues()
    names = [url.rpartition("/")[2].removeprefix("celeriac-") for url in urls]
    stages = sorted({name.removesuffix(f"-{queue}") for name in names for queue in ours if name.endswith(f"-{queue}")})
    return f" Stages here: {', '.join(stages)}." if stages else " No stage is deployed here."


def _end(sentence: str, code: int) -> None:
    typer.secho(f"celeriac: {sentence}", err=True, fg=None if os.environ.get("NO_COLOR") else typer.colors.RED)
    raise typer.Exit(code)
