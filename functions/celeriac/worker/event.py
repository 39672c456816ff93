"""What Lambda makes of a received message, and the context object that it hands over with a batch."""

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.typing import LambdaContext

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef


class Invocation(LambdaContext):
    """Lambda's context object, with a deadline."""

    def __init__(self, function_name: str, request_id: str, deadline: datetime, *, version: str = "$LATEST") -> None:
        self._function_name, self._aws_request_id, self.deadline = function_name, request_id, deadline
        self._function_version = version

    def get_remaining_time_in_millis(self) -> int:  # type: ignore[override]  # static in Powertools
        """Milliseconds until the worker is stopped."""
        return max(0, (self.deadline - datetime.now(UTC)) // timedelta(milliseconds=1))


def record(message: "MessageTypeDef", arn: str) -> dict[str, Any]:
    """A received message as a record of Lambda's event. `arn` is that of its queue.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "md5OfBody": message["MD5OfBody"],
        "attributes": message.get("Attributes", {}),
        "messageAttributes": {
            name: {
                "stringValue": value.get("StringValue"),
                "binaryValue": b64encode(value["BinaryValue"]).decode() if "BinaryValue" in value else None,
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": value["DataType"],
            }
            for name, value in message.get("MessageAttributes", {}).items()
        },
        "eventSource": "aws:sqs",
        "eventSourceARN": arn,
        "awsRegion": arn.split(":")[3],
    }
