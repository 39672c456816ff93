"""The other side of the sample tasks: a payment provider with faults, and a receiver of webhooks."""
