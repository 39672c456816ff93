"""The operators' page for people without AWS credentials: a container behind a load balancer that signs them in."""
