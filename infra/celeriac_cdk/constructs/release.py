"""The switch to a new release: at once, or with `-c canary=true` for a tenth of the work at first."""

from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from celeriac.model import names
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import measure
from celeriac_cdk.nag import acknowledge


def release(scope: Construct, function: lambda_.Function, *, name: str, alarms: Alarms) -> lambda_.IFunction:
    """Return the target of invocations: the function, or an alias that CodeDeploy moves to its newest version.

    With an alias, a tenth of the invocations go to the new version for five minutes. If one of them fails in this time,
    the old version gets all invocations again. Each version can read the messages of the other.
    """
    if not alarms.config.canary:
        return function
    version = function.current_version
    alias = lambda_.Alias(scope, "Live", alias_name="live", version=version)
    physical = names.part(alarms.config.stage, name)
    # The alarm watches the new version only. CodeDeploy starts no deployment while its alarm rings, so errors of the
    # old version would block the release that corrects them.
    errors = alarms.when(
        scope,
        "CanaryAlarm",
        name=f"{name}-canary-errors",
        metric=measure(
            "AWS/Lambda",
            "Errors",
            "Sum",
            FunctionName=physical,
            Resource=f"{physical}:live",
            ExecutedVersion=version.version,
        ),
        reaches=1,
        advice=(
            f"Workers of {physical}'s newest version crash or time out. If this happens in the version's first five "
            "minutes, CodeDeploy returns all work to the version before. Read the cause in the function's log."
        ),
        entry="failing-functions",
    )
    group = codedeploy.LambdaDeploymentGroup(
        scope,
        "Canary",
        alias=alias,
        deployment_config=codedeploy.LambdaDeploymentConfig.CANARY_10_PERCENT_5_MINUTES,
        alarms=[errors],
        auto_rollback=codedeploy.AutoRollbackConfig(failed_deployment=True, deployment_in_alarm=True),
    )
    acknowledge(
        group,
        "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited]",
        "AWS maintains this policy: it lists the rights that CodeDeploy needs",
    )
    return alias
