"""gunicorn 'shop:create_app()' reads this file."""

preload_app = True  # the application is imported once, then the workers are forked
workers = 4
worker_class = "gthread"
threads = 16  # `enqueue` waits for SQS some 10 ms: threads, not processes, let others go on meanwhile
timeout = 60  # a call that AWS doesn't answer gives up after 55 s
