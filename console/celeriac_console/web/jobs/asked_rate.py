"""The rate in a form."""

from collections.abc import Mapping

import typer

from celeriac_console.rate import rate_of
from celeriac_console.terminal.errors import UserError


def asked_rate(form: Mapping[str, str]) -> float | None:
    """The most a second; None if the field is empty. Raises UserError."""
    text = form.get("rate", "").strip()
    if not text:
        return None
    try:
        return rate_of(text)
    except typer.BadParameter as error:
        raise UserError(f"{error}. Nothing was done") from error
