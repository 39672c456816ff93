"""Text of others, made fit for a line, a page or a log: it can't rewrite what a person sees, nor flood it."""

LINE_CHARACTERS = 200
BLOCK_CHARACTERS = 20_000
# A tab, and the blanks of all languages, which count as unprintable: the no-break space, the ideographic one.
_BLANKS = "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


def line(text: str, limit: int = LINE_CHARACTERS) -> str:
    r"""`text` as one line: what isn't printable is written as Python writes it, and what is beyond `limit` is counted.

    Not printable are control characters, line ends and the escapes of terminals; marks that turn the direction of
    writing; characters of no width; and halves of surrogate pairs.

    >>> line("a\nb\u202e\x1b[31m")
    'a\\nb\\u202e\\x1b[31m'
    """
    return _clean(_cut(text, limit), _BLANKS)


def block(text: str, limit: int = BLOCK_CHARACTERS) -> str:
    """`text` of several lines, as `line` otherwise."""
    return _clean(_cut(text.replace("\r\n", "\n"), limit), f"{_BLANKS}\n")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} more characters)"


def _clean(text: str, allowed: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in allowed else repr(character)[1:-1] for character in text
    )
