"""The parts of SQS, DynamoDB and S3 that the consumer needs, in memory and fast: HTTP is stubbed, botocore is real."""

import io
import json
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.awsrequest import AWSResponse

from celeriac.aws.attributes import MOST
from celeriac.aws.sqs import BATCH_BYTES
from tests.support.clients import every_client

ACCOUNT = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
# The characters that a body may hold:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
LEGAL = re.compile(r"[\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


class _Body(io.BytesIO):
    def stream(self, **_: object) -> Any:
        yield self.read()


@dataclass
class Stub:
    """Answers every call, and remembers what was sent and stored until `forget` is called."""

    sent: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    """Queue, body and attributes of each message that SQS accepted."""
    stored: dict[str, bytes] = field(default_factory=dict)
    """The objects in the bucket, by key."""

    def install(self) -> None:
        """Answer in AWS's place until this process ends."""
        for service in ("sqs", "dynamodb", "s3"):
            for client in every_client(service):
                client.meta.events.register(f"before-send.{service}", self._answer)
        # Here the object's body is still whole. What is sent later is cut into chunks, with a checksum behind them.
        for client in every_client("s3"):
            client.meta.events.register("provide-client-params.s3.PutObject", self._store)

    def forget(self) -> None:
        """Forget all messages and objects."""
        self.sent.clear()
        self.stored.clear()

    def _answer(self, request: Any, **_: object) -> Any:
        target = request.headers.get("X-Amz-Target")
        if target is None:
            return _s3(request)
        operation = target.decode().rpartition(".")[2]
        asked = json.loads(request.body)
        match operation:
            case "GetQueueUrl":
                return _json(request, {"QueueUrl": ACCOUNT + asked["QueueName"]})
            case "SendMessage":
                return self._send(request, asked)
            case "DeleteMessageBatch" | "ChangeMessageVisibilityBatch":
                done = [{"Id": entry["Id"]} for entry in asked["Entries"]]
                return _json(request, {"Successful": done, "Failed": []})
            case "GetItem" | "PutItem" | "UpdateItem":
                return _json(request, {})
            case _:
                raise NotImplementedError(operation)

    def _send(self, request: Any, asked: Mapping[str, Any]) -> Any:
        attributes = asked.get("MessageAttributes", {})
        if not is_legal(asked["MessageBody"], attributes):
            return _json(request, {"__type": "com.amazonaws.sqs#InvalidMessageContents", "message": "no"}, status=400)
        self.sent.append((asked["QueueUrl"].rpartition("/")[2], asked["MessageBody"], attributes))
        return _json(request, {"MessageId": "sent", "MD5OfMessageBody": "0" * 32})

    def _store(self, params: Mapping[str, Any], **_: object) -> None:
        self.stored[params["Key"]] = params["Body"]


def _s3(request: Any) -> Any:
    """Stored objects are never read again here: a message that points into the bucket was made up by the fuzzer."""
    if request.method == "PUT":
        return _response(request, 200, b"")
    return _response(request, 404, b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>")


def is_legal(body: str, attributes: Mapping[str, Any]) -> bool:
    """Whether SQS accepts the message: its characters, its ten attributes, and its size in bytes with attributes."""
    texts = [body, *(value["StringValue"] for value in attributes.values() if "StringValue" in value)]
    binary = sum(len(b64decode(value["BinaryValue"])) for value in attributes.values() if "BinaryValue" in value)
    if len(attributes) > MOST or not all(LEGAL.fullmatch(text) for text in texts):
        return False
    if not all(_has_its_type(value) for value in attributes.values()):
        return False
    names = sum(len(name) + len(value["DataType"]) for name, value in attributes.items())
    return names + binary + sum(len(text.encode()) for text in texts) <= BATCH_BYTES


def _has_its_type(value: Mapping[str, Any]) -> bool:
    match value["DataType"].partition(".")[0]:
        case "String":
            return bool(value.get("StringValue"))
        case "Number":
            return re.fullmatch(r"-?\d+", value.get("StringValue", "")) is not None
        case "Binary":
            return bool(value.get("BinaryValue"))
        case _:
            return False


def _json(request: Any, content: Mapping[str, Any], *, status: int = 200) -> Any:
    return _response(request, status, json.dumps(content).encode())


def _response(request: Any, status: int, body: bytes) -> Any:
    headers: Any = {"Content-Type": "application/x-amz-json-1.0"}
    return AWSResponse(request.url, status, headers, _Body(body))
