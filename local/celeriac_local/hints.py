"""Commands to try, as they are shown: whoever changes one in the Makefile or the console finds them here."""

DEAD_LETTERS = ".venv/bin/celeriac --stage local dlq list payments"
ENVIRONMENT = 'eval "$(.venv/bin/python -m celeriac_local env)"'
AWS_CLI = 'aws --endpoint-url "$AWS_ENDPOINT_URL" sqs list-queues'
DOWN = "make down"
