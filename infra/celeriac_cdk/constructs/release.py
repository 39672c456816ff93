"""The switch to a new release: at once, or with `-c canary=true` for a tenth of the work at first."""

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from celeriac.model import names
from celeriac.observe.metric_names import Metric
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import measure
from celeriac_cdk.monitoring.notice import Notice
from celeriac_cdk.nag import acknowledge

# A single message that can't succeed must not stop a release, and a broken release fails at more than one. So the
# version fails at half of its messages in two minutes of any five.
SHARE, MINUTES = 0.5, (2, 5)


def release(scope: Construct, function: lambda_.Function, *, name: str, alarms: Alarms) -> lambda_.IFunction:
    """Return the target of invocations: the function, or an alias that CodeDeploy moves to its newest version.

    With an alias, a tenth of the invocations go to the new version for five minutes. If one of them crashes in this
    time, or the tasks of a consumer fail, the old version gets all invocations again, and CloudFormation rolls the
    stack back, with relay and sweeper. Each version can read the messages of the other.

    name: that of the queue, `relay` or `sweeper`.
    """
    if not alarms.config.canary:
        return function
    version = function.current_version
    alias = lambda_.Alias(scope, "Live", alias_name="live", version=version)
    group = codedeploy.LambdaDeploymentGroup(
        scope,
        "Canary",
        alias=alias,
        deployment_config=codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
        alarms=[_crashes(scope, version, name, alarms)],
        auto_rollback=codedeploy.AutoRollbackConfig(failed_deployment=True, deployment_in_alarm=True),
    )
    if name not in names.NO_CONSUMERS:
        group.add_alarm(_failures(scope, version, name, alarms))
    acknowledge(
        group,
        "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]",
        "AWS maintains this policy: it lists the rights that CodeDeploy needs",
    )
    return alias


def _name(of: str, what: str, version: lambda_.Version) -> str:
    """The name of an alarm on one version, so that each release has a new one: CloudWatch keeps the state of an alarm
    that is updated, and that of a broken version would stop the release that mends it.
    """
    return f"{of}-canary-{what}-{version.version}"


def _crashes(scope: Construct, version: lambda_.Version, name: str, alarms: Alarms) -> cloudwatch.Alarm:
    """The alarm on crashes of the new version only."""
    physical = names.part(alarms.config.stage, name)
    return alarms.for_release(
        scope,
        "CanaryAlarm",
        name=_name(name, "errors", version),
        metric=measure(
            "AWS/Lambda",
            "Errors",
            "Sum",
            FunctionName=physical,
            Resource=f"{physical}:live",
            ExecutedVersion=version.version,
        ),
        reaches=1,
        notice=Notice(
            f"Workers of {physical}'s newest version crash or time out.",
            "If this is in the first five minutes of a release, CodeDeploy gives all work back to the version before.",
            f"Type `celeriac --stage {alarms.config.stage} tail --since 15m`: it shows each death.",
            "none crashes for a minute",
            "a-release-that-fails",
        ),
    )


def _failures(scope: Construct, version: lambda_.Version, queue: str, alarms: Alarms) -> cloudwatch.Alarm:
    """The alarm on failed tasks of the new version only. The consumer writes their share for each version."""
    stage = alarms.config.stage
    return alarms.for_release(
        scope,
        "CanaryTasksAlarm",
        name=_name(queue, "tasks", version),
        metric=measure(
            names.METRICS,
            Metric.FAILED,
            "Average",
            service="tasks",
            stage=names.prefix(stage),
            queue=queue,
            version=version.version,
        ),
        reaches=SHARE,
        times=MINUTES,
        notice=Notice(
            f"The newest version of {queue}'s consumer fails at half of its messages: it retries or dead-letters them, "
            "lacks a right, or can't import their task.",
            "If this is in the first five minutes of a release, CodeDeploy gives all work back to the version before.",
            f"Type `celeriac --stage {stage} dlq list {queue}`, and redrive what this release has dead-lettered.",
            "it fails at fewer",
            "a-release-that-fails",
        ),
    )
