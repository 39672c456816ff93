"""The application's own tables. Pure data, like the queues."""

from celeriac import Table

# A variable for each table, which the stacks build and every task may write.
orders = Table("orders")  # sample
payments = Table("payments")  # sample
