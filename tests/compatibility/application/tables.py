"""Its table."""

from celeriac import Table

orders = Table("orders")
