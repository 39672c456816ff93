"""Commands to try, as they are shown: whoever changes one in the Makefile or the console finds them here."""

SEND = """make send TASK=send_welcome_email ARGS='{"user_id": 7, "email": "a@example.org"}'"""
ENVIRONMENT = 'eval "$(.venv/bin/python -m local env)"'
DEAD_LETTERS = f"{ENVIRONMENT}; .venv/bin/celeriac dlq list payments"
DOWN = "make down"
