"""Commands to try, as they are shown: whoever changes one in the Makefile or the console finds them here."""

ENVIRONMENT = 'eval "$(.venv/bin/python -m local env)"'
DEAD_LETTERS = f"{ENVIRONMENT}; .venv/bin/celeriac dlq list payments"
DOWN = "make down"
