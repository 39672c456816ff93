"""The consumer: it runs a batch of SQS messages and returns the partial failures."""
