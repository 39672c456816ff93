"""A batch of SQS in, partial failures out."""
