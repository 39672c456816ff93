"""The application's own tables. This module is pure data, like the queues."""

from celeriac import Table

# One variable for each table. The stacks build the tables, and infra/application.py says which queues may use them.
orders = Table("orders")  # sample
payments = Table("payments")  # sample
