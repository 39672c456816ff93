"""Numbers and what they count."""


def counted(number: int, what: str, several: str = "") -> str:
    """`number` of them, in words that fit it.

    >>> counted(1, "dead letter"), counted(2, "dead letter"), counted(0, "entry", "entries")
    ('1 dead letter', '2 dead letters', '0 entries')
    """
    return f"{number:,} {what if number == 1 else several or what + 's'}"
