"""The commands `celeriac outbox ...`: they show unpublished rows, and publish rows again."""
