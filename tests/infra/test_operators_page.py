"""The deployed operators' page: what is built, who is let in, and that nothing is there unless it was asked for."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import msgspec
import pytest
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk.assertions import Annotations, Match, Template
from cdk_nag import AwsSolutionsChecks
from constructs import Construct

from celeriac_cdk import EVERYBODY, Celeriac, ConfigError, Oidc, StageSettings, Web
from celeriac_cdk.application import Application
from celeriac_cdk.page import operators_page as construct
from celeriac_cdk.page.container import PORT
from celeriac_cdk.stacks.stage import declare_stage
from celeriac_console.web.deployed import behind_load_balancer
from celeriac_console.web.deployed.behind import ANYBODY, VARIABLE, Behind
from tests.infra import foreign
from tests.infra.conftest import PROJECT, ROOT, ApplicationState
from tests.infra.template import Stack, text
from tests.support.library import librarys_application

CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/0"
OIDC: dict[str, Any] = {
    "issuer": "https://login.example.org/",
    "authorization_endpoint": "https://login.example.org/authorize",
    "token_endpoint": "https://login.example.org/token",
    "user_info_endpoint": "https://login.example.org/userinfo",
    "client_id": "celeriac-page",
    "operators": ["oncall"],
    "viewers": ["engineering"],
}


def web(scope: Construct, *, oidc: dict[str, Any] | None = None, **other: Any) -> Web:
    """Settings of a page, in somebody's stack."""
    secret = secretsmanager.Secret.from_secret_name_v2(scope, "Secret", "page/client")
    certificate = acm.Certificate.from_certificate_arn(scope, "Certificate", CERTIFICATE)
    found = Oidc(**{"client_secret": secret, **OIDC, **(oidc or {})})
    return Web(**{"oidc": found, "domain": "tasks.example.org", "certificate": certificate, **other})


@dataclass(frozen=True)
class Host:
    stack: cdk.Stack
    tasks: Celeriac
    made: Stack


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with foreign.imports_of(tmp_path_factory.mktemp("page")) as root:
        source = foreign.package(root / "src", "shop_tasks")
        stack = cdk.Stack(foreign.app(), "Host", env=cdk.Environment(account="123456789012", region="eu-central-1"))
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
        vpc.add_flow_log("Flow")
        zone = route53.HostedZone.from_hosted_zone_attributes(
            stack, "Zone", hosted_zone_id="Z1", zone_name="example.org"
        )
        tasks = Celeriac(
            stack,
            "Tasks",
            source=source,
            name="shop",
            stage="prod",
            settings=StageSettings(kms=True),
            web=web(stack, vpc=vpc, zone=zone),
        )
        yield Host(stack, tasks, foreign.template(stack))


def container(made: Stack, name: str) -> dict[str, Any]:
    """One of the two containers."""
    [task] = made.resources("ECS::TaskDefinition")
    [found] = [each for each in task["ContainerDefinitions"] if each["Name"] == name]
    return dict(found)


def test_without_web_nothing_of_it_is_there(tmp_path: Path) -> None:
    with foreign.imports_of(tmp_path) as root:
        source = foreign.package(root / "src", "plain_tasks")
        stack = cdk.Stack(foreign.app(), "Host")
        assert Celeriac(stack, "Tasks", source=source, name="shop", stage="prod").page is None
        kinds = foreign.template(stack).kinds()
    assert not [kind for kind in kinds if kind.startswith(("ECS", "ElasticLoad", "EC2"))]


def test_the_local_cloud_has_none(tmp_path: Path) -> None:
    with foreign.imports_of(tmp_path) as root:
        source = foreign.package(root / "src", "local_tasks")
        stack = cdk.Stack(foreign.app(local_cloud="true"), "Host")
        tasks = Celeriac(stack, "Tasks", source=source, name="shop", stage="local", web=web(stack))
        assert tasks.page is None


def test_who_isnt_signed_in_reaches_only_the_page_of_who_has_left(host: Host) -> None:
    [listener] = host.made.resources("ElasticLoadBalancingV2::Listener")
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert listener["DefaultActions"][0]["Type"] == "fixed-response"
    rules = {rule["Priority"]: rule for rule in host.made.resources("ElasticLoadBalancingV2::ListenerRule")}
    assert rules[1]["Conditions"] == [
        {"Field": "path-pattern", "PathPatternConfig": {"Values": [behind_load_balancer.LEAVE, "/static/*"]}}
    ]
    assert rules[2]["Conditions"][0]["HostHeaderConfig"] == {"Values": ["tasks.example.org"]}
    first, then = rules[2]["Actions"]
    assert (first["Type"], then["Type"]) == ("authenticate-oidc", "forward")
    config = first["AuthenticateOidcConfig"]
    assert config["Issuer"] == "https://login.example.org/"
    # The secret is read when the stack is deployed, and stands in no template.
    assert "resolve:secretsmanager" in text(config["ClientSecret"])
    assert config["SessionTimeout"] == 43200
    assert set(rules) == {1, 2}


def test_the_page_is_told_what_it_checks(host: Host) -> None:
    variables = {each["Name"]: each["Value"] for each in container(host.made, "Page")["Environment"]}
    said = variables[VARIABLE]
    [balancer] = host.made.logical_ids("ElasticLoadBalancingV2::LoadBalancer")
    parts = said["Fn::Join"][1]
    assert {"Ref": balancer} in parts
    found = msgspec.json.decode("".join(each if isinstance(each, str) else "an-arn" for each in parts), type=Behind)
    assert found == Behind(
        domain="tasks.example.org",
        load_balancer="an-arn",
        issuer="https://login.example.org/",
        client_id="celeriac-page",
        claim="groups",
        operators=("oncall",),
        viewers=("engineering",),
        viewers_see_arguments=False,
        sign_out="",
        keeps=True,
    )
    assert (variables["CELERIAC_APPLICATION"], variables["CELERIAC_STAGE"]) == ("shop", "prod")
    assert variables["CELERIAC_TASKS"] == "shop_tasks"
    assert "CELERIAC_KMS_KEY" in variables


def test_both_packages_agree_on_what_stands_between_them() -> None:
    assert construct.VARIABLE == VARIABLE
    assert construct.HEALTH == behind_load_balancer.HEALTH
    assert construct.LEAVE == behind_load_balancer.LEAVE
    assert EVERYBODY == ANYBODY


def test_only_the_load_balancer_reaches_the_container(host: Host) -> None:
    ingress = host.made.resources("EC2::SecurityGroupIngress")
    [to_page] = [each for each in ingress if each["FromPort"] == PORT]
    assert "SourceSecurityGroupId" in to_page
    groups = host.made.resources("EC2::SecurityGroup")
    open_ = [rule for group in groups for rule in group.get("SecurityGroupIngress", [])]
    assert [(rule["FromPort"], rule["CidrIp"]) for rule in open_] == [(443, "0.0.0.0/0")]
    [service] = host.made.resources("ECS::Service")
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"


def test_it_has_the_rights_of_operators_and_reads_its_own_bundle(host: Host) -> None:
    task = host.made.resources("ECS::TaskDefinition")[0]
    logical = task["TaskRoleArn"]["Fn::GetAtt"][0]
    [policy] = host.made.json["Resources"][logical]["Properties"]["ManagedPolicyArns"]
    assert "policy/shop-prod--operator-" in text(policy)
    [read] = [statement for owner, statement in host.made.statements() if owner == logical]
    assert read["Action"] == "s3:GetObject"
    assert text(read["Resource"]).endswith(".zip")


def test_there_is_never_more_than_one_and_it_may_end_its_jobs(host: Host) -> None:
    [service] = host.made.resources("ECS::Service")
    assert service["DesiredCount"] == 1
    assert service["DeploymentConfiguration"]["MaximumPercent"] == 100
    page, loader = container(host.made, "Page"), container(host.made, "Loader")
    assert page["StopTimeout"] == 120
    assert page["DependsOn"] == [{"Condition": "SUCCESS", "ContainerName": "Loader"}]
    assert all(each["ReadonlyRootFilesystem"] for each in (page, loader))
    assert all(each["User"] == "0" for each in (page, loader))
    assert loader["Command"][:2] == ["s3", "cp"]
    # Its home is in the image, which can't be written to; a volume can.
    assert {"Name": "HOME", "Value": "/tmp"} in loader["Environment"]  # noqa: S108 - in a container
    assert "/tmp" in [each["ContainerPath"] for each in loader["MountPoints"]]  # noqa: S108 - in a container
    assert page["Image"] == "public.ecr.aws/docker/library/python:3.13-slim"


def test_a_page_that_is_busy_for_a_minute_is_not_ended(host: Host) -> None:
    [group] = host.made.resources("ElasticLoadBalancingV2::TargetGroup")
    assert group["HealthCheckIntervalSeconds"] * group["UnhealthyThresholdCount"] >= 90
    assert group["HealthCheckTimeoutSeconds"] == 10


def test_the_load_balancer_reaches_the_provider_and_the_page_and_nothing_else(host: Host) -> None:
    groups = host.made.resources("EC2::SecurityGroup")
    [balancers] = [each for each in groups if "LoadBalancer" in each["GroupDescription"]]
    assert [(rule["FromPort"], rule["ToPort"]) for rule in balancers["SecurityGroupEgress"]] == [(443, 443)]
    [further] = host.made.resources("EC2::SecurityGroupEgress")
    assert further["FromPort"] == PORT


def test_its_role_waits_for_the_policy_that_it_finds_by_name(host: Host) -> None:
    made = host.made.json["Resources"]
    [role] = [its for name, its in made.items() if its["Type"] == "AWS::IAM::Role" and "PageRole" in name]
    [between] = [name for name in role["DependsOn"] if "StateIsThere" in name]
    [policy] = [
        name
        for name, its in made.items()
        if its["Type"] == "AWS::IAM::ManagedPolicy" and "--operator-" in text(its["Properties"]["ManagedPolicyName"])
    ]
    assert policy in made[between]["DependsOn"]


def test_the_provider_may_be_a_part_of_the_same_application(tmp_path: Path) -> None:
    with foreign.imports_of(tmp_path) as root:
        source = foreign.package(root / "src", "pooled_tasks")
        stack = cdk.Stack(foreign.app(), "Host")
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
        oidc = {"issuer": cdk.Fn.import_value("issuer"), "client_id": cdk.Fn.import_value("client")}
        Celeriac(stack, "Tasks", source=source, name="shop", stage="prod", web=web(stack, oidc=oidc, vpc=vpc))
        made = foreign.template(stack)
    variables = {each["Name"]: each["Value"] for each in container(made, "Page")["Environment"]}
    assert {"Fn::ImportValue": "issuer"} in variables[VARIABLE]["Fn::Join"][1]


def test_two_in_one_stack_and_a_state_in_another_one(tmp_path: Path) -> None:
    with foreign.imports_of(tmp_path) as root:
        app = foreign.app()
        state, stack = cdk.Stack(app, "State"), cdk.Stack(app, "Host")
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
        for name in ("shop", "bank"):
            source = foreign.package(root / "src" / name, f"{name}_of_two")
            domain = f"{name}.example.org"
            its = web(Construct(stack, name), vpc=vpc, domain=domain)
            Celeriac(stack, f"{name}Tasks", source=source, name=name, stage="prod", state_scope=state, web=its)
        made = foreign.template(stack)
        assert state in stack.dependencies
    assert len(made.resources("ECS::Service")) == 2


def test_the_domain_leads_to_it(host: Host) -> None:
    [record] = host.made.resources("Route53::RecordSet")
    assert record["Name"] == "tasks.example.org."
    assert host.tasks.page is not None
    assert host.tasks.page.url == "https://tasks.example.org"


def test_cdk_nag_finds_nothing_on_it(tmp_path: Path) -> None:
    with foreign.imports_of(tmp_path) as root:
        source = foreign.package(root / "src", "nagged_tasks")
        for number, other in enumerate(({}, {"logs": True, "internet_facing": False})):
            app = foreign.app()
            stack = cdk.Stack(app, "Host", env=cdk.Environment(account="123456789012", region="eu-central-1"))
            vpc = ec2.Vpc.from_vpc_attributes(
                stack,
                "Vpc",
                vpc_id="vpc-0123456789abcdef0",
                availability_zones=["eu-central-1a", "eu-central-1b"],
                vpc_cidr_block="10.0.0.0/16",
                public_subnet_ids=["subnet-0123456789abcdef1", "subnet-0123456789abcdef2"],
                private_subnet_ids=["subnet-0123456789abcdef3", "subnet-0123456789abcdef4"],
            )
            settings: dict[str, Any] = {
                "internet_facing": other.get("internet_facing", True),
                "access_logs": s3.Bucket.from_bucket_name(stack, "Lines", "lines") if other.get("logs") else None,
                **({"peers": [ec2.Peer.ipv4("10.0.0.0/8")]} if number else {}),
            }
            Celeriac(stack, "Tasks", source=source, name="shop", stage="prod", web=web(stack, vpc=vpc, **settings))
            cdk.Validations.of(app).add_plugins(AwsSolutionsChecks())
            report = Path(app.synth().directory, "validation-report.json")
            found = [
                (each["ruleName"], resource["constructPath"])
                for plugin in json.loads(report.read_text())["pluginReports"]
                for each in plugin["violations"]
                for resource in each["violatingConstructs"]
            ]
            assert found == [], found


@pytest.mark.parametrize(
    ("oidc", "other", "says"),
    [
        ({"operators": [EVERYBODY]}, {}, "whoever can sign in could redrive and delete"),
        ({"operators": [], "viewers": []}, {}, "nobody may come in"),
        ({"operators": "oncall"}, {}, "write a list of values of the claim 'groups'"),
        ({"viewers": [""]}, {}, "write a list of values"),
        ({"issuer": "http://login.example.org"}, {}, "begins with https://"),
        ({"token_endpoint": ""}, {}, "token_endpoint is ''"),
        ({"sign_out": "login.example.org"}, {}, "sign_out is"),
        ({}, {"domain": "https://tasks.example.org"}, "write a name such as tasks.example.org"),
        ({}, {"domain": ""}, "write a name such as"),
        ({}, {"domain": cdk.Fn.import_value("domain")}, "domain is known only when"),
        ({}, {"memory": 4096}, "memory is 4096"),
        ({}, {}, "web needs a network"),
    ],
)
def test_what_cannot_work_or_lets_in_everybody_is_refused(
    tmp_path: Path, oidc: dict[str, Any], other: dict[str, Any], says: str
) -> None:
    with foreign.imports_of(tmp_path) as root:
        source = foreign.package(root / "src", "refused_tasks")
        stack = cdk.Stack(foreign.app(), "Host")
        with pytest.raises(ConfigError, match=says):
            Celeriac(stack, "Tasks", source=source, name="shop", stage="prod", web=web(stack, oidc=oidc, **other))


@pytest.mark.parametrize("stage", ["prod", "dev", "local"])
def test_an_application_with_stacks_of_celeriacs_own_deploys_it_too(stage: str) -> None:
    def page(stack: cdk.Stack) -> Web:
        vpc = ec2.Vpc.from_vpc_attributes(
            stack,
            "Vpc",
            vpc_id="vpc-0123456789abcdef0",
            availability_zones=["eu-central-1a", "eu-central-1b"],
            public_subnet_ids=["subnet-0123456789abcdef1", "subnet-0123456789abcdef2"],
            private_subnet_ids=["subnet-0123456789abcdef3", "subnet-0123456789abcdef4"],
        )
        return web(stack, vpc=vpc)

    local = {"local_cloud": "true"} if stage == "local" else {}
    app = foreign.app(stage=stage, **local)
    with librarys_application():
        declare_stage(
            *(app, ROOT, PROJECT),
            state=ApplicationState,
            application=lambda _, config: Application(config).web(page),
        )
        [work] = [each for each in app.synth().stacks if each.stack_name.endswith("--work")]
    services = Stack(work.stack_name, Template.from_json(work.template)).resources("ECS::Service")
    assert len(services) == (stage != "local")


def test_images_and_sizes_can_be_ones_own(tmp_path: Path) -> None:
    with foreign.imports_of(tmp_path) as root:
        source = foreign.package(root / "src", "imaged_tasks")
        stack = cdk.Stack(foreign.app(), "Host")
        vpc = ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=0)
        its = replace(
            web(stack),
            image=ecs.ContainerImage.from_registry("registry.example.org/python"),
            image_of_loader=ecs.ContainerImage.from_registry("registry.example.org/aws"),
            memory=512,
            public_ip=True,
            subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
        )
        Celeriac(stack, "Tasks", source=source, name="shop", stage="prod", vpc=vpc, web=its)
        made = foreign.template(stack)
        # No consumer runs in the network, and the page does: there is nothing to warn of.
        assert not Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("no consumer runs in it"))
    assert container(made, "Page")["Image"] == "registry.example.org/python"
    assert container(made, "Loader")["Image"] == "registry.example.org/aws"
    assert made.resources("ECS::TaskDefinition")[0]["Memory"] == "512"
    [service] = made.resources("ECS::Service")
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "ENABLED"
