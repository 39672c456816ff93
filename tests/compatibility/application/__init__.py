"""The application of a project of an earlier release: `write.py` ran it under that release, and tests run it today."""
