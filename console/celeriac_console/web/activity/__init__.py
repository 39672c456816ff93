"""What operators did on the page. CloudTrail doesn't log messages that are sent or deleted, unless it is told to."""
