"""Numbers with nouns in the singular or the plural."""


def counted(number: int, what: str, several: str = "") -> str:
    """`number` and its noun, in the singular or the plural.

    >>> counted(1, "dead letter"), counted(2, "dead letter"), counted(0, "entry", "entries")
    ('1 dead letter', '2 dead letters', '0 entries')
    """
    return f"{number:,} {what if number == 1 else several or what + 's'}"
