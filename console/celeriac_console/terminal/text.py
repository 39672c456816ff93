"""Make foreign text safe for a terminal."""

import json
import re
from typing import Any

from celeriac.observe.text import block, line

printable = block
"""For text that may have several lines."""

# Characters that occur in JSON only inside strings, where they may be written as escapes.
_UNPRINTABLE = re.compile(r"[^\n -~]")


def json_text(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON that is safe for a terminal and still valid."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


__all__ = ["block", "json_text", "line", "printable"]
