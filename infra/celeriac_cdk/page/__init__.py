"""The operators' page for people without AWS credentials: a container, and a load balancer that signs them in."""
