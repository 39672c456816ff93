"""How a new release takes over: at once, or with `-c canary=true` with a tenth of the work at first."""

from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from celeriac.model import names
from celeriac_cdk.monitoring.alarms import Alarms
from celeriac_cdk.monitoring.metrics import measure
from celeriac_cdk.nag import acknowledge


def release(scope: Construct, function: lambda_.Function, *, name: str, alarms: Alarms) -> lambda_.IFunction:
    """Return the target of invocations: the function, or an alias that CodeDeploy moves to its newest version.

    A tenth of the invocations go to the new version for five minutes; if one of them fails as a whole meanwhile, the
    old version takes all of them again. Either can read what the other has sent.
    """
    if not alarms.config.canary:
        return function
    version = function.current_version
    alias = lambda_.Alias(scope, "Live", alias_name="live", version=version)
    physical = f"{names.prefix(alarms.config.stage)}-{name}"
    # The alarm watches the new version only. CodeDeploy starts no deployment while its alarm rings, and a release that
    # cures the old version must be deployable.
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
            f"Workers of {physical}'s newest version die or time out. During its first five minutes CodeDeploy gives "
            "all of the work back to the version before it; see in the log what they died of."
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
        "AWS keeps the list of what CodeDeploy needs",
    )
    return alias
