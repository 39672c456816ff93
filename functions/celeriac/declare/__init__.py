"""`@task` and its parts: options, signature, context, handle and registry."""
