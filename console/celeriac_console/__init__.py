"""The operator's command, `celeriac`. It works with the caller's AWS credentials and is never in the bundle."""
