"""The operator's command, `celeriac`. The command uses the caller's AWS credentials. The bundle doesn't contain it."""
