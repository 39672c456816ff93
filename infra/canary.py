"""How a new release of a function takes over: at once, or with `-c canary=true` a tenth of the work first."""

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.config import StageConfig
from infra.nag import acknowledge


def release(
    scope: Construct, function: lambda_.Function, *, config: StageConfig, errors: cloudwatch.IAlarm
) -> lambda_.IFunction:
    """Return what is to be invoked: the function, or an alias that CodeDeploy moves to its newest version.

    A tenth of the invocations go to the new version for five minutes; if `errors` rings meanwhile, the old one takes
    all of them again. Either version can read what the other has sent.
    """
    if not config.canary:
        return function
    alias = lambda_.Alias(scope, "Live", alias_name="live", version=function.current_version)
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
