"""The lock file of the CDK's command line, which install.py reads."""
