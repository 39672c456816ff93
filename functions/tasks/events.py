"""The events: what tasks emit, and what other tasks subscribe to."""

from msgspec import Struct

from celeriac import Event


class OrderCreatedPayload(Struct):
    """A new order, and the payment that is due for it."""

    order_id: str
    email: str
    payment_id: str
    amount_cents: int


OrderCreated = Event("order.created", OrderCreatedPayload)
