"""Commands that the output suggests. Keep them the same as in the Makefile and the console."""

DEAD_LETTERS = ".venv/bin/celeriac --stage local dlq list payments"
ENVIRONMENT = 'eval "$(.venv/bin/python -m celeriac_local env)"'
AWS_CLI = 'aws --endpoint-url "$AWS_ENDPOINT_URL" sqs list-queues'
DOWN = "make down"
