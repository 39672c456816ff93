"""DynamoDB Local, Amazon's own implementation. It carries out calls at the same time, as DynamoDB does."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.realities.installed import DYNAMODB, why_no_dynamodb
from tests.realities.served import served

# Java compiles the file when it starts it.
_MAIN = Path(__file__).with_name("OnLoopback.java")
_CLASSES = "DynamoDBLocal.jar:DynamoDBLocal_lib/*"


@contextmanager
def dynamodb_local() -> Iterator[str]:
    """Run an empty DynamoDB Local while the block runs. Yields its endpoint, also that of DynamoDB Streams.

    All regions and credentials see the same tables. Raises RuntimeError if it isn't installed or Java is missing.
    """
    if why := why_no_dynamodb():
        raise RuntimeError(why)
    with served(_command, folder=DYNAMODB) as endpoint:
        yield endpoint


def _command(port: int) -> Sequence[str]:
    return (
        *(
            "java",
            "-Djava.library.path=./DynamoDBLocal_lib",
            "-cp",
            "DynamoDBLocal.jar:DynamoDBLocal_lib/*",
            str(_MAIN),
        ),
        *("-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)),
    )
