"""The shop's API: it takes an order, lets a task send the receipt, and says what became of it."""

from typing import Any

import celeriac
from shop_tasks.receipts import send_receipt


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Take the order in `event`, or say how the receipt with the reference in `event` is."""
    if "ref" in event:
        status = celeriac.handle(event["ref"]).status()
        return {"state": status.state, "result": status.result}
    return {"ref": send_receipt.enqueue(order=event["order"], email=event["email"]).ref}
