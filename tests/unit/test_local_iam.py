"""How the local cloud judges a call by AWS's rules. The code is pure, so every rule has a line here."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from celeriac_local import folders
from celeriac_local.cloud.refused_calls import report_calls
from celeriac_local.commands import console
from celeriac_local.iam.checks import Request, is_known, refine
from celeriac_local.iam.policy import AccessCheck, Verdict, grants_anything_of, judge
from celeriac_local.iam.refusal import Noted, note, noted, refusal

BUCKET = "arn:aws:s3:::mine"


@dataclass
class Statement:
    effect: str
    actions: list[str]
    resources: list[str]
    conditions: dict[str, Any]
    not_actions: list[str] = field(default_factory=list)
    not_resources: list[str] = field(default_factory=list)


def allow(action: str, on: str = "*", **conditions: Any) -> Statement:
    return Statement("Allow", [action], [on], conditions)


def deny(action: str, **conditions: Any) -> Statement:
    return Statement("Deny", [action], ["*"], conditions)


ALL_BUT_S3 = Statement("Allow", [], ["*"], {}, not_actions=["s3:*"])
ALL_BUT_MINE = Statement("Allow", ["*"], [], {}, not_resources=[BUCKET])
PUT = allow("s3:PutObject", f"{BUCKET}/*")
PUTTING = AccessCheck("s3:PutObject", (f"{BUCKET}/a/b",))
SEND = allow("ses:SendEmail", "arn:aws:ses:*:*:identity/*", StringEquals={"ses:FromAddress": "a@example.org"})


TABLE = "arn:aws:dynamodb:us-east-1:1:table/records"
KEYS = "dynamodb:LeadingKeys"
READ_MAIL = allow("dynamodb:GetItem", TABLE, **{"ForAllValues:StringLike": {KEYS: ["mail#*", "5${*}#*"]}})
READ_OTHERS = allow("dynamodb:GetItem", TABLE, **{"ForAllValues:StringNotLike": {KEYS: ["mail#*"]}})


def reading(*keys: str) -> AccessCheck:
    return AccessCheck("dynamodb:GetItem", (TABLE,), {KEYS.lower(): keys})


def sent(address: str | None) -> AccessCheck:
    known = {} if address is None else {"ses:fromaddress": address}
    return AccessCheck("ses:SendEmail", ("arn:aws:ses:us-east-1:1:identity/example.org",), known)


def listing(bucket: str = BUCKET, **known: str) -> AccessCheck:
    return AccessCheck("s3:ListBucket", (bucket,), known)


@pytest.mark.parametrize(
    ("statements", "check", "verdict"),
    [
        ([PUT], PUTTING, "allowed"),
        ([PUT], AccessCheck("s3:putobject", (f"{BUCKET}/a",)), "allowed"),
        ([PUT], AccessCheck("s3:GetObject", (f"{BUCKET}/a",)), "refused"),
        ([PUT], AccessCheck("s3:PutObject", ("arn:aws:s3:::other/a",)), "refused"),
        ([PUT], AccessCheck("s3:PutObject", (f"{BUCKET.upper()}/a",)), "refused"),  # resources are case-sensitive
        ([], PUTTING, "refused"),
        ([PUT], AccessCheck("s3:PutObject"), "unknown"),
        ([allow("s3:*")], AccessCheck("s3:ListAllMyBuckets"), "allowed"),
        ([allow("sqs:Send*")], AccessCheck("sqs:SendMessage", ("arn:q",)), "allowed"),
        ([allow("s3:?utObject")], PUTTING, "allowed"),
        ([ALL_BUT_S3], AccessCheck("sqs:SendMessage", ("arn:q",)), "allowed"),
        ([ALL_BUT_S3], PUTTING, "refused"),
        ([ALL_BUT_MINE], listing(), "refused"),
        ([ALL_BUT_MINE], listing("other"), "allowed"),
        ([PUT, deny("s3:Put*")], PUTTING, "refused"),
        ([PUT, deny("*", Bool={"x:y": "true"})], PUTTING, "unknown"),
        ([allow("s3:*", "arn:aws:s3:::${aws:userid}")], listing(), "unknown"),
        ([SEND], sent("a@example.org"), "allowed"),
        ([SEND], sent("b@example.org"), "refused"),
        ([SEND], sent(None), "unknown"),
        ([allow("s3:*"), deny("*", Bool={"Tls": "false"})], listing(tls="true"), "allowed"),
        ([allow("s3:*"), deny("*", Bool={"Tls": "false"})], listing(tls="false"), "refused"),
        ([allow("s3:*", StringNotLike={"k": ["a*"]})], listing(k="b"), "allowed"),
        ([allow("s3:*", StringNotLike={"k": ["a*"]})], listing(k="ab"), "refused"),
        ([allow("s3:*", ArnLikeIfExists={"k": ["a*"]})], listing(), "unknown"),
        ([allow("s3:*", NumericLessThan={"k": 5})], listing(k="4"), "unknown"),
        ([READ_MAIL], reading("mail#1", "mail#2"), "allowed"),
        ([READ_MAIL], reading("mail#1", "pay#2"), "refused"),
        ([READ_MAIL], reading("5*#1"), "allowed"),
        ([READ_MAIL], reading("500#1"), "refused"),
        ([READ_MAIL], AccessCheck("dynamodb:GetItem", (TABLE,)), "unknown"),
        ([READ_OTHERS], reading("pay#1"), "allowed"),
        ([READ_OTHERS], reading("pay#1", "mail#1"), "refused"),
        ([allow("s3:*", NumericLessThan={"k": 5}), allow("s3:List*")], listing(), "allowed"),
    ],
)
def test_a_call_is_refused_only_if_aws_would_certainly_refuse_it(
    statements: list[Statement], check: AccessCheck, verdict: str
) -> None:
    assert judge(statements, check) is Verdict(verdict)


def test_a_service_with_any_granted_action_is_recognised() -> None:
    assert grants_anything_of([PUT], "s3")
    assert grants_anything_of([ALL_BUT_S3], "kinesis")
    assert not grants_anything_of([PUT, deny("kms:*")], "kms")
    assert is_known("s3:PutObject")
    assert not is_known("kinesis:PutRecord")
    assert not is_known("s3:?")


def request(path: str = "/", body: dict[str, Any] | None = None, **parameters: list[str]) -> Request:
    return Request(path, {}, parameters, body or {}, "us-east-1", "000000000000")


def asked(action: str, made: Request, *resources: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(check.action, check.resources) for check in refine(AccessCheck(action, resources), made)]


@pytest.mark.parametrize(
    ("header", "action"),
    [
        ("x-amz-tagging", "s3:PutObjectTagging"),
        ("X-Amz-Acl", "s3:PutObjectAcl"),
        ("x-amz-grant-read", "s3:PutObjectAcl"),
        ("x-amz-object-lock-mode", "s3:PutObjectRetention"),
        ("x-amz-object-lock-legal-hold", "s3:PutObjectLegalHold"),
    ],
)
def test_tags_and_acls_of_an_object_need_their_own_permissions(header: str, action: str) -> None:
    by_header = Request("/mine/a", {header: "x"}, {}, {}, "us-east-1", "000000000000")
    presigned = Request("/mine/a", {}, {header: ["x"]}, {}, "us-east-1", "000000000000")
    both = [("s3:PutObject", (f"{BUCKET}/a",)), (action, (f"{BUCKET}/a",))]

    assert asked("s3:PutObject", by_header, f"{BUCKET}/a") == both
    assert asked("s3:PutObject", presigned, f"{BUCKET}/a") == both
    assert asked("s3:PutObject", request(), f"{BUCKET}/a") == both[:1]
    assert asked("s3:GetObject", by_header, f"{BUCKET}/a") == [("s3:GetObject", (f"{BUCKET}/a",))]


@pytest.mark.parametrize(
    ("statement", "verb", "resource"),
    [
        ('SELECT * FROM "a.b"."by-x" WHERE pk=?', "Select", "a.b/index/by-x"),
        ("select pk from a.byx", "Select", "a/index/byx"),
        ('SELECT * FROM "a" WHERE pk=?', "Select", "a"),
        ("INSERT INTO \"a\" VALUE {'pk': ?}", "Insert", "a"),
        ("UPDATE a SET x=1 WHERE pk=?", "Update", "a"),
        ("DELETE FROM a WHERE pk=?", "Delete", "a"),
    ],
)
def test_partiql_needs_the_permission_for_its_verb_and_its_index(statement: str, verb: str, resource: str) -> None:
    made = request(body={"Statement": statement})
    arn = f"arn:aws:dynamodb:us-east-1:000000000000:table/{resource}"

    assert asked("dynamodb:ExecuteStatement", made) == [(f"dynamodb:PartiQL{verb}", (arn,))]


def test_a_batch_needs_the_permission_of_the_single_call() -> None:
    assert asked("sqs:SendMessageBatch", request(), "q") == [("sqs:SendMessage", ("q",))]
    assert asked("sqs:ReceiveMessage", request(), "q") == [("sqs:ReceiveMessage", ("q",))]


def test_creating_a_schedule_needs_its_group_and_pass_role() -> None:
    body = {"GroupName": "celeriac-local", "Target": {"RoleArn": "arn:role"}}
    create, pass_role = refine(AccessCheck("scheduler:CreateSchedule"), request("/schedules/one", body))

    assert create.resources == ("arn:aws:scheduler:us-east-1:000000000000:schedule/celeriac-local/one",)
    assert (pass_role.action, pass_role.resources) == ("iam:PassRole", ("arn:role",))
    assert pass_role.context["iam:passedtoservice"] == "scheduler.amazonaws.com"
    assert asked("scheduler:ListSchedules", request("/schedules", ScheduleGroup=["g"])) == [
        ("scheduler:ListSchedules", ("arn:aws:scheduler:us-east-1:000000000000:schedule/*/*",))
    ]
    assert asked("scheduler:GetSchedule", request("/schedules/one", groupName=["g"])) == [
        ("scheduler:GetSchedule", ("arn:aws:scheduler:us-east-1:000000000000:schedule/g/one",))
    ]


@pytest.mark.parametrize(
    "made",
    [request(Source=["Us <no-reply@example.org>"]), request("/v2/email", {"FromEmailAddress": "no-reply@example.org"})],
    ids=["ses", "sesv2"],
)
def test_a_mail_is_judged_by_the_address_or_domain_of_its_sender(made: Request) -> None:
    (check,) = refine(AccessCheck("ses:SendEmail"), made)
    identity = "arn:aws:ses:us-east-1:000000000000:identity"

    assert check.resources == (f"{identity}/no-reply@example.org", f"{identity}/example.org")
    assert check.context == {"ses:fromaddress": "no-reply@example.org"}


def test_the_sender_of_a_raw_mail_is_unknown() -> None:
    assert asked("ses:SendRawEmail", request()) == [("ses:SendRawEmail", ())]


def test_a_partiql_batch_needs_the_permission_for_each_verb() -> None:
    table = "arn:aws:dynamodb:us-east-1:000000000000:table/t-1"
    texts = ['SELECT * FROM "t-1"', 'INSERT INTO "t-1" VALUE {}', "update t-1 set a=1", 'DELETE FROM "t-1"', "?"]
    made = request(body={"Statements": [{"Statement": text} for text in texts]})

    assert asked("dynamodb:BatchExecuteStatement", made) == [
        ("dynamodb:PartiQLSelect", (table,)),
        ("dynamodb:PartiQLInsert", (table,)),
        ("dynamodb:PartiQLUpdate", (table,)),
        ("dynamodb:PartiQLDelete", (table,)),
        ("dynamodb:?", ()),
    ]


def test_a_refusal_names_role_action_resource_and_the_statement_to_add() -> None:
    said = refusal(PUTTING, "arn:aws:sts::1:assumed-role/r/celeriac-local--reports")

    assert "assumed-role/r/celeriac-local--reports is not authorized to perform: s3:PutObject on resource:" in said
    assert f"{BUCKET}/a/b" in said
    assert said.endswith(
        "add to application() in infra/application.py, before its `return`: "
        'application.queue("reports").allow('
        'iam.PolicyStatement(actions=["s3:PutObject"], resources=["arn:aws:s3:::mine/*"]))'
    )


@pytest.mark.parametrize("name", ["key", "key-AbC123"])
def test_the_statement_to_add_for_a_secret_ends_in_six_wildcards(name: str) -> None:
    secret = "arn:aws:secretsmanager:us-east-1:1:secret:"
    check = AccessCheck("secretsmanager:GetSecretValue", (secret + name,))
    assert f'resources=["{secret}key-??????"]' in refusal(check, "me")


def test_noted_calls_are_found_in_the_log() -> None:
    lines = ["something else", note(Verdict.UNKNOWN, AccessCheck("kinesis:PutRecord"), "celeriac-local--reports")]

    assert noted(lines) == [Noted("unknown", "celeriac-local--reports", "kinesis:PutRecord", "*")]


def test_refused_and_unjudged_calls_are_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "celeriac.toml").touch()
    monkeypatch.chdir(tmp_path)
    folders.made_state()
    secret = "arn:aws:secretsmanager:us-east-1:1:secret:key"
    lines = [
        note(Verdict.REFUSED, AccessCheck("secretsmanager:GetSecretValue", (secret,)), "reports"),
        note(Verdict.UNKNOWN, AccessCheck("kinesis:ListShards"), "reports"),
    ]
    folders.log("emulator").write_text("\n".join(lines))
    with console.capture() as printed:
        report_calls(console)

    assert printed.get().splitlines() == [
        f"Refused so far, as AWS would: secretsmanager:GetSecretValue on {secret}-?????? by reports",
        "Let through so far, but AWS may refuse it: kinesis:ListShards on * by reports",
    ]
