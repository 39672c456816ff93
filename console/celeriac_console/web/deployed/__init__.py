"""The page behind a load balancer that has signed people in: who they are, and what they may do."""
