"""The judgement of IAM: whether a role would allow a request, and what to say if it wouldn't."""
