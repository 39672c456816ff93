"""Makes foreign text safe for a line, a page or a log: the text can't change how the rest is shown, and is cut."""

from hashlib import sha256

LINE_CHARACTERS = 200
BLOCK_CHARACTERS = 20_000
# Allowed though Python calls them unprintable: the tab, and the blanks of all languages, such as the no-break space and
# the ideographic space.
_BLANKS = "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


def line(text: str, limit: int = LINE_CHARACTERS) -> str:
    r"""Return `text` as one line. Unprintable characters become Python's escapes. The text is cut at `limit`.

    The number of characters that were cut is added. Unprintable are: control characters, line ends and the escapes of
    terminals; marks that change the direction of writing; characters without width; and halves of surrogate pairs.

    >>> line("a\nb\u202e\x1b[31m")
    'a\\nb\\u202e\\x1b[31m'
    """
    return _clean(_cut(text, limit), _BLANKS)


def block(text: str, limit: int = BLOCK_CHARACTERS) -> str:
    """Do the same as `line`, but keep line ends."""
    return _clean(_cut(text.replace("\r\n", "\n"), limit), f"{_BLANKS}\n")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} more characters)"


def _clean(text: str, allowed: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in allowed else repr(character)[1:-1] for character in text
    )


def key_hash(key: str) -> str:
    """Return what logs show instead of an idempotency key: the key may name a card or a person."""
    return sha256(key.encode(errors="surrogatepass")).hexdigest()[:16]
