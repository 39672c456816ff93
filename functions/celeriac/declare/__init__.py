"""`@task`, and all that hangs on it."""
