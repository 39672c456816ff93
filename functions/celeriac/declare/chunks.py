"""Cuts a long or endless supply of messages into chunks that are sent one after another, in constant memory."""

from collections.abc import Callable, Iterable, Iterator

MOST_MESSAGES = 1000
"""A hundred calls of SQS: enough for every thread that sends."""
MOST_BYTES = 16 * 2**20
"""The size of all arguments of a chunk; the last message may go beyond."""


def chunks[T](messages: Iterable[T], size_of: Callable[[T], int]) -> Iterator[tuple[list[T], Exception | None]]:
    """Yield chunks of messages. The last one comes with the error that ended `messages`, if one did."""
    chunk: list[T] = []
    size, error = 0, None
    try:
        for message in messages:
            chunk.append(message)
            size += size_of(message)
            if len(chunk) == MOST_MESSAGES or size >= MOST_BYTES:
                yield chunk, None
                chunk, size = [], 0
    except Exception as raised:  # noqa: BLE001 - the caller raises it, once the messages before it are sent
        error = raised
    if chunk or error is not None:
        yield chunk, error
