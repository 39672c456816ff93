"""Its tables: an order is written by transactions, a payment beside it."""

from celeriac import Table

orders = Table("orders")
payments = Table("payments")
