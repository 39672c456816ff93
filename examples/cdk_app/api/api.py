"""The shop's API: it takes an order, and lets a task send the receipt."""

import json
import os
from typing import Any

import boto3


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Enqueue a receipt for the order in `event`."""
    body = {"task": "send_receipt", "args": {"order": event["order"], "email": event["email"]}}
    sent = boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=json.dumps(body))
    return {"id": sent["MessageId"]}
