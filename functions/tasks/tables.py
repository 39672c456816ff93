"""The application's own tables. Pure data, like the queues."""

from celeriac import Table

# A line that ends in `sample` goes with the sample tasks; README says how.
orders = Table("orders")  # sample
payments = Table("payments")  # sample
