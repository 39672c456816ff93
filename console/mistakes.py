"""An operator's mistakes, told in one sentence: what is wrong, and what to do."""

import functools
from collections.abc import Callable
from difflib import get_close_matches

import typer
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError

from celeriac import InvalidArgs, NoSuchQueue
from celeriac.declaration import DeclarationError

USAGE = 2
PROBLEM = 1


class Mistake(Exception):  # noqa: N818 - it is what it is
    """Something that the caller can put right; its text says how."""


def explained[**P](command: Callable[P, None]) -> Callable[P, None]:
    """Let `command` end with a sentence instead of a traceback."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except (Mistake, InvalidArgs, DeclarationError) as error:
            _end(str(error), USAGE)
        except NoSuchQueue as error:
            _end(str(error), PROBLEM)
        except (NoCredentialsError, NoRegionError) as error:
            _end(f"{error} Set AWS_PROFILE, or AWS_REGION and credentials.", PROBLEM)
        except EndpointConnectionError as error:
            _end(f"{error} Is the network, or the local cloud (`make up`), there?", PROBLEM)
        except ClientError as error:
            _end(f"AWS refuses: {error}", PROBLEM)
        except BotoCoreError as error:
            _end(f"AWS can't be reached: {error}", PROBLEM)

    return run


def nearest(name: str, known: list[str]) -> str:
    """A sentence that helps who has mistyped `name`."""
    close = get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else f" Known are: {', '.join(sorted(known)) or 'none'}."


def _end(sentence: str, code: int) -> None:
    typer.secho(f"celeriac: {sentence}", err=True, fg=typer.colors.RED)
    raise typer.Exit(code)
