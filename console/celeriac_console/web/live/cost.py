"""What an open page costs: AWS calls, and dollars in the regions that most use."""

from dataclasses import dataclass

# Prices of us-east-1 and eu-west-1, without the free tier.
# https://aws.amazon.com/sqs/pricing/ (standard queues), https://aws.amazon.com/cloudwatch/pricing/ (metrics of
# GetMetricData), https://aws.amazon.com/dynamodb/pricing/on-demand/ (read request units)
SQS_CALL = 0.40 / 1_000_000
METRIC = 0.01 / 1_000
CLOUDWATCH_CALL = 0.01 / 1_000
DYNAMODB_READ = 0.125 / 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What an hour costs in which a tab is open and visible."""

    calls: int
    dollars: float
