"""The application's own tables. Pure data, like the queues."""

from celeriac import Table

orders = Table("orders")
payments = Table("payments")
