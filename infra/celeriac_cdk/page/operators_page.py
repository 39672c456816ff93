"""The operators' page on AWS: one container, and a load balancer in front of it that signs people in."""

from collections.abc import Mapping
from typing import cast

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from constructs import Construct

from celeriac.model import names
from celeriac_cdk.config import ConfigError, StageConfig
from celeriac_cdk.nag import acknowledge
from celeriac_cdk.page.container import NAME, PORT, Code, service
from celeriac_cdk.page.settings import Web

HEALTH = "/health"
LEAVE, STATIC = "/leave", "/static/*"
"""What is shown to everybody: it tells nothing of the stage."""
VARIABLE = "CELERIAC_WEB"
SESSION = cdk.Duration.hours(12)
"""Then people sign in again. In between, the load balancer renews what the provider says of them."""


class OperatorsPage(Construct):
    """The page, with its load balancer. Everything of it can be deleted and deployed again; it keeps nothing."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        config: StageConfig,
        web: Web,
        *,
        vpc: ec2.IVpc | None,
        code: Code,
        environment: Mapping[str, str],
    ) -> None:
        """Build the page. It has the rights of operators, as the stage's policy says.

        vpc: the construct's, if `web` has none. environment: the names of application and stage.

        Raises ConfigError for settings that can't work.
        """
        super().__init__(scope, construct_id)
        web.check()
        found = web.vpc or vpc
        if found is None:
            raise ConfigError(f"{self.node.path}: web needs a network: give vpc= to Web, or to Celeriac")
        self.load_balancer = elb.ApplicationLoadBalancer(
            self,
            "LoadBalancer",
            vpc=found,
            internet_facing=web.internet_facing,
            drop_invalid_header_fields=True,
        )
        """Point the domain to it, if `web` has no zone."""
        if web.access_logs is not None:
            self.load_balancer.log_access_logs(web.access_logs, names.part(config.stage, "page"))
        self.service = service(
            self, config, web, found, code=code, environment={**environment, VARIABLE: self._behind(config, web)}
        )
        """The container."""
        self._let_in(web, self._listener(web))
        if web.zone is not None:
            target = route53.RecordTarget.from_alias(targets.LoadBalancerTarget(self.load_balancer))
            route53.ARecord(self, "Record", zone=web.zone, record_name=f"{web.domain}.", target=target)
        self.url = f"https://{web.domain}"
        cdk.CfnOutput(self, "Url", value=self.url, description="the operators' page")
        self._acknowledge(web)

    def _behind(self, config: StageConfig, web: Web) -> str:
        """What the page must know of those in front of it: celeriac_console/web/deployed/behind.py reads it."""
        oidc = web.oidc
        return cdk.Stack.of(self).to_json_string(
            {
                "domain": web.domain,
                "load_balancer": self.load_balancer.load_balancer_arn,
                "issuer": oidc.issuer,
                "client_id": oidc.client_id,
                "claim": oidc.claim,
                "operators": list(oidc.operators),
                "viewers": list(oidc.viewers),
                "viewers_see_arguments": oidc.viewers_see_arguments,
                "sign_out": oidc.sign_out,
                "keeps": config.keep_data,
            }
        )

    def _listener(self, web: Web) -> elb.ApplicationListener:
        listener = self.load_balancer.add_listener(
            "Https",
            port=443,
            certificates=[web.certificate],
            ssl_policy=elb.SslPolicy.RECOMMENDED_TLS,
            open=False,
            default_action=elb.ListenerAction.fixed_response(404),
        )
        for peer in web.peers:
            listener.connections.allow_from(peer, ec2.Port.tcp(443), "The page")
        raw = cast("elb.CfnListener", listener.node.default_child)
        raw.listener_attributes = [
            elb.CfnListener.ListenerAttributeProperty(
                key="routing.http.response.strict_transport_security.header_value", value="max-age=31536000"
            )
        ]
        return listener

    def _let_in(self, web: Web, listener: elb.ApplicationListener) -> None:
        """Sign people in before anything but the page of who has left, and what it looks like."""
        oidc = web.oidc
        group = elb.ApplicationTargetGroup(
            self,
            "Target",
            vpc=self.service.cluster.vpc,
            port=PORT,
            protocol=elb.ApplicationProtocol.HTTP,
            targets=[self.service.load_balancer_target(container_name=NAME, container_port=PORT)],
            deregistration_delay=cdk.Duration.seconds(10),
            # A quarter of a core may be busy for a while. ECS ends a container that doesn't answer, with its jobs.
            health_check=elb.HealthCheck(
                path=HEALTH,
                interval=cdk.Duration.seconds(15),
                timeout=cdk.Duration.seconds(10),
                healthy_threshold_count=2,
                unhealthy_threshold_count=6,
            ),
        )
        listener.add_action(
            "Open",
            priority=1,
            conditions=[elb.ListenerCondition.path_patterns([LEAVE, STATIC])],
            action=elb.ListenerAction.forward([group]),
        )
        listener.add_action(
            "SignedIn",
            priority=2,
            conditions=[elb.ListenerCondition.host_headers([web.domain])],
            action=elb.ListenerAction.authenticate_oidc(
                authorization_endpoint=oidc.authorization_endpoint,
                client_id=oidc.client_id,
                client_secret=oidc.client_secret.secret_value,
                issuer=oidc.issuer,
                token_endpoint=oidc.token_endpoint,
                user_info_endpoint=oidc.user_info_endpoint,
                scope=oidc.scope,
                session_timeout=SESSION,
                next=elb.ListenerAction.forward([group]),
            ),
        )

    def _acknowledge(self, web: Web) -> None:
        reasons = {
            "ECS2": "the variables are names, and no secret is among them",
            "ECS4": "one small container: its log and the load balancer's figures tell enough, and insights cost more",
        }
        if web.access_logs is None:
            reasons["ELB2"] = "the activity says who did what; access_logs= adds a line for each request"
        if web.internet_facing:
            reasons["EC23"] = "the load balancer asks whoever comes to sign in; peers= narrows from where they may"
        for finding, reason in reasons.items():
            acknowledge(self, finding, reason)
