"""What a CDK application of yours sees of a stage: its queues, its outbox, grants, metrics."""
