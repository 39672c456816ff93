"""The tables of the tests' application: transactions write orders, and payments beside them."""

from celeriac import Table

orders = Table("orders")
payments = Table("payments")
