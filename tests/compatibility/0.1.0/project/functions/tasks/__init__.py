"""Your tasks. Every module of this package is loaded by the consumer and the relay."""
