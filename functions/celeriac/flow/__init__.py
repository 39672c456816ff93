"""The items of the flow table: limits, unique and debounced tasks, batches and the steps of chains."""
