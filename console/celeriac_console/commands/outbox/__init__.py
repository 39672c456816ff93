"""The commands `celeriac outbox ...`: they show unpublished events, and publish events again."""
