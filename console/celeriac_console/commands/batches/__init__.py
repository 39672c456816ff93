"""The commands `celeriac batches ...`: they show batches that haven't ended, and repair them."""
