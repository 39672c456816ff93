"""The tools of `celeriac outbox`: they replay rows, and read the parked ones."""
