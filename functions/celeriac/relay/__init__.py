"""The relay and the sweeper: they publish rows of the outbox as messages."""
