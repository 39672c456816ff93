"""Buckets and secrets of the application, and the rights to use them. infra/application.py declares them.

A bucket or secret is declared once, by a short name, like a Table. It is built in one stack and used in the other. Both
stacks find it by its physical name, which consists of the stage and the short name. See docs/howto/own-resources.md.
"""

import re
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from celeriac.model import names
from celeriac_cdk.config import ConfigError, StageConfig
from celeriac_cdk.constructs.bucket import private_bucket
from celeriac_cdk.nag import acknowledge
from celeriac_cdk.permissions import arn, bucket_arn

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_LONGEST_BUCKET_NAME = 63
_ACCOUNT_AND_REGION = len("-123456789012-ap-southeast-1")


@dataclass(frozen=True, slots=True)
class Bucket:
    """A private S3 bucket."""

    name: str

    @property
    def construct_id(self) -> str:
        """The id of what `build` builds."""
        return f"Bucket-{self.name}"

    def build(self, scope: Construct, config: StageConfig, key: kms.IKey | None) -> None:
        """Build the bucket. Unless the stage keeps its data, the bucket and its objects are deleted with the stack."""
        name = self.physical_name(config.stage)
        private_bucket(scope, self.construct_id, name=name, config=config, encryption_key=key)

    def physical_name(self, stage: str) -> str:
        """Return the name in S3. It has the account and the region, because names of buckets are global.

        Raises ConfigError for a name that S3 wouldn't accept in every region.
        """
        room = _LONGEST_BUCKET_NAME - _ACCOUNT_AND_REGION - len(names.start(stage))
        if self.name == "payloads":
            raise ConfigError("Celeriac has a bucket named 'payloads' itself: choose another name")
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", self.name) or len(self.name) > room:
            raise ConfigError(
                f"a bucket of the stage {stage!r} can't be named {self.name!r}: use 1-{room} lower-case letters, "
                "digits and hyphens"
            )
        return names.part(stage, f"{self.name}-{cdk.Aws.ACCOUNT_ID}-{cdk.Aws.REGION}")

    def objects(self, stage: str) -> str:
        """Return the ARN of all objects of the bucket."""
        return f"{bucket_arn(self.physical_name(stage))}/*"

    def use(self, stage: str) -> list[iam.PolicyStatement]:
        """Return the rights to read, write, delete and list the objects.

        Without the right to list, S3 answers "forbidden" for an object that doesn't exist.
        """
        every = self.objects(stage)
        return [
            iam.PolicyStatement(actions=["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], resources=[every]),
            iam.PolicyStatement(actions=["s3:ListBucket"], resources=[every.removesuffix("/*")]),
        ]


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of Secrets Manager."""

    name: str

    @property
    def construct_id(self) -> str:
        """The id of what `build` builds."""
        return f"Secret-{self.name}"

    def build(self, scope: Construct, config: StageConfig, key: kms.IKey | None) -> None:
        """Build the secret with a random value. You can replace the value later. No deploy changes it."""
        built = secretsmanager.Secret(
            scope,
            self.construct_id,
            secret_name=self.physical_name(config.stage),
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            encryption_key=key,
            removal_policy=config.removal_policy,
        )
        acknowledge(built, "SMG4", "the other service needs a new value at the same time, so no schedule rotates it")

    def physical_name(self, stage: str) -> str:
        """Return the name in Secrets Manager. Tasks read the secret by this name.

        Raises ConfigError for a name that Secrets Manager doesn't accept.
        """
        # https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_CreateSecret.html
        if not re.fullmatch(r"[\w/+=.@-]{1,400}", self.name, re.ASCII):
            raise ConfigError(
                f"a secret can't be named {self.name!r}: use 1-400 letters, digits and any of / _ + = . @ -"
            )
        return names.part(stage, self.name)

    def read(self, stage: str) -> iam.PolicyStatement:
        """Return the right to read the value."""
        return iam.PolicyStatement(
            actions=["secretsmanager:GetSecretValue"],
            # Secrets Manager adds a hyphen and six random characters to the name in an ARN.
            resources=[arn("secretsmanager", f"secret:{self.physical_name(stage)}-??????")],
        )
