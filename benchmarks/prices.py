"""AWS's public list prices in us-east-1, in dollars, free tiers left out.

Written down in November 2026. The prices of DynamoDB, Lambda and Fargate agree with those that others published from
2024 to 2026. The pages named here were not read: check them before you base a decision on these prices.
`python benchmarks/cost.py` uses the prices of this file.
"""

from dataclasses import dataclass

REGION, AS_OF = "us-east-1", "2026-11"


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for one `unit`, and where AWS publishes it."""

    dollars: float
    unit: str
    source: str


SQS_REQUEST = Price(0.40e-6, "request on a standard queue, up to 64 KB", "https://aws.amazon.com/sqs/pricing/")
WRITE_UNIT = Price(
    0.625e-6,
    "write request unit: 1 KB written, half of it in a transaction",
    "https://aws.amazon.com/dynamodb/pricing/on-demand/",
)
READ_UNIT = Price(0.125e-6, "read request unit: 4 KB", "https://aws.amazon.com/dynamodb/pricing/on-demand/")
TABLE_GB_MONTH = Price(0.25, "GB stored for a month", "https://aws.amazon.com/dynamodb/pricing/on-demand/")
LAMBDA_REQUEST = Price(0.20e-6, "invocation", "https://aws.amazon.com/lambda/pricing/")
LAMBDA_GB_SECOND = Price(13.3334e-6, "GB-second on arm64", "https://aws.amazon.com/lambda/pricing/")
SCHEDULE = Price(1.00e-6, "invocation of a schedule", "https://aws.amazon.com/eventbridge/pricing/")
LOGS_GB = Price(0.50, "GB of logs taken in", "https://aws.amazon.com/cloudwatch/pricing/")
ALARM_MONTH = Price(0.10, "metric that an alarm watches, for a month", "https://aws.amazon.com/cloudwatch/pricing/")
METRIC_MONTH = Price(0.30, "custom metric, for a month", "https://aws.amazon.com/cloudwatch/pricing/")
SECRET_MONTH = Price(0.40, "secret, for a month", "https://aws.amazon.com/secrets-manager/pricing/")
DASHBOARD_MONTH = Price(3.00, "dashboard, for a month", "https://aws.amazon.com/cloudwatch/pricing/")
FARGATE_VCPU_HOUR = Price(0.03238, "vCPU-hour on Linux/ARM", "https://aws.amazon.com/fargate/pricing/")
FARGATE_GB_HOUR = Price(0.00356, "GB-hour on Linux/ARM", "https://aws.amazon.com/fargate/pricing/")
HOURS_A_MONTH = 730
