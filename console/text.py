"""Text of others, made fit for a terminal."""


def printable(text: str) -> str:
    """`text` without the control characters with which it could rewrite what an operator sees."""
    return "".join(
        character if character in "\n\t" or character.isprintable() else repr(character)[1:-1] for character in text
    )
