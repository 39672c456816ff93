"""What a team says of its deployed page."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager

from celeriac_cdk.config import ConfigError

_MEMORY = (512, 1024, 2048)
EVERYBODY = "*"
"""As a value of a claim: everybody whom the identity provider signs in for this client."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Oidc:
    """The identity provider, and who of its people may look and act.

    The four URLs are in its document at `<issuer>/.well-known/openid-configuration`. Enter
    `https://<domain>/oauth2/idpresponse` as the redirect URL there.
    """

    issuer: str
    """Written as in that document: with a slash at its end if it has one there."""
    authorization_endpoint: str
    token_endpoint: str
    user_info_endpoint: str
    client_id: str
    client_secret: secretsmanager.ISecret
    """Read when this part of the template is deployed first. A new value belongs into a secret of another name, which
    is given here: CloudFormation doesn't see a change inside a secret.
    """
    operators: Sequence[str]
    """Values of the claim. Who has one of them may look and act."""
    viewers: Sequence[str] = ()
    """Values of the claim. Who has one of them may look. `EVERYBODY` lets in all whom the provider signs in."""
    claim: str = "groups"
    """Which claim of the user info endpoint is looked at, such as `groups` or `email`. A list or one text."""
    viewers_see_arguments: bool = False
    """Whether who may only look sees arguments and results of tasks. Errors they see, which may quote an argument."""
    scope: str = "openid email profile"
    """What the load balancer asks the provider for. Some send groups only with a scope of their own."""
    sign_out: str = ""
    """A URL where the provider ends its own session, if it has one."""

    def check(self) -> None:
        """Raise ConfigError for what can't work, or would let in everybody by mistake."""
        urls = ("issuer", "authorization_endpoint", "token_endpoint", "user_info_endpoint", "sign_out")
        for name in urls:
            url = getattr(self, name)
            if cdk.Token.is_unresolved(url):
                continue  # such as that of a user pool in the same application
            if not url.startswith("https://") and (url or name != "sign_out"):
                raise ConfigError(f"web: {name} is {url!r}, write a URL that begins with https://")
        for name in ("operators", "viewers"):
            values = getattr(self, name)
            if isinstance(values, str) or not all(isinstance(value, str) and value for value in values):
                raise ConfigError(f"web: {name} is {values!r}, write a list of values of the claim {self.claim!r}")
        if EVERYBODY in self.operators:
            raise ConfigError(
                "web: operators has EVERYBODY: then whoever can sign in could redrive and delete. Name the groups or "
                "addresses of those who may, and put EVERYBODY under viewers if all may look"
            )
        if not self.operators and not self.viewers:
            raise ConfigError("web: nobody may come in: give operators=[...], viewers=[...] or both")


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """The deployed page. It costs about 32 dollars a month, whether somebody looks or not: docs/howto/web-deployed.md.

    The defaults fit a VPC with public subnets and private ones that reach the internet.
    """

    oidc: Oidc
    domain: str
    """The page's name, such as `tasks.example.org`. The certificate is for it."""
    certificate: acm.ICertificate
    vpc: ec2.IVpc | None = None
    """None: that of the construct."""
    zone: route53.IHostedZone | None = None
    """Where the domain gets its record. None: you point the domain to the load balancer yourself."""
    internet_facing: bool = True
    """Whether the load balancer has public addresses. If not, only your network reaches it."""
    peers: Sequence[ec2.IPeer] = field(default_factory=lambda: (ec2.Peer.any_ipv4(),))
    """From where the load balancer may be asked. All of them have to sign in."""
    subnets: ec2.SubnetSelection | None = None
    """Of the container. None: private subnets that reach the internet."""
    public_ip: bool = False
    """Whether the container has a public address. It needs one in a public subnet, to reach AWS."""
    access_logs: s3.IBucket | None = None
    """Where the load balancer writes a line for each request."""
    image: ecs.ContainerImage | None = None
    """An image with Python as `python`. None: the one of the Docker project, from AWS's public registry."""
    image_of_loader: ecs.ContainerImage | None = None
    """An image whose entry point is AWS's command line. None: AWS's own, from its public registry."""
    memory: int = 1024
    """MB of the container: 512, 1024 or 2048."""

    def check(self) -> None:
        """Raise ConfigError for what can't work."""
        if cdk.Token.is_unresolved(self.domain):
            raise ConfigError("web: domain is known only when the stack is deployed: write it as a text")
        if self.memory not in _MEMORY:
            raise ConfigError(f"web: memory is {self.memory}: a quarter of a core goes with {_MEMORY}")
        if not self.domain or "/" in self.domain or ":" in self.domain or self.domain != self.domain.lower():
            raise ConfigError(f"web: domain is {self.domain!r}, write a name such as tasks.example.org")
        self.oidc.check()
