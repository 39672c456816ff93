"""Text of others, made fit for a terminal."""

from celeriac.text import block, line

printable = block
"""For what may have several lines."""

__all__ = ["block", "line", "printable"]
