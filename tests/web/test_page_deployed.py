"""The page behind a load balancer: forged, missing, borrowed and expired tokens get nothing, and roles hold."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.testclient import TestClient

from celeriac import Queue, Reject, task
from celeriac.testing import Sandbox
from celeriac_console.web.app import application
from celeriac_console.web.deployed.__main__ import identify
from celeriac_console.web.deployed.behind import VARIABLE, Behind, behind
from celeriac_console.web.deployed.behind_load_balancer import COOKIE, HEALTH, LEAVE, BehindLoadBalancer
from celeriac_console.web.deployed.keys import Keys, NoKeyError, fetched
from celeriac_console.web.deployed.sessions import MOST, SECONDS, Sessions
from celeriac_console.web.deployed.token import HEADER
from celeriac_console.web.shared import Shared

ferries = Queue("ferries")


@task(ferries)
def sell_ticket(passenger: str) -> None:
    """Fail for good."""
    raise Reject("no such ferry")


DOMAIN = "tasks.example.org"
ORIGIN = f"https://{DOMAIN}"
SIGNER = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/page/0123456789abcdef"
NUMBER = "8f2c6a1e-0000-4000-8000-00000000000a"
BEHIND = Behind(
    domain=DOMAIN,
    load_balancer=SIGNER,
    issuer="https://login.example.org",
    client_id="celeriac-page",
    claim="groups",
    operators=("oncall",),
    viewers=("engineering",),
    viewers_see_arguments=False,
    sign_out="",
    keeps=True,
)


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@dataclass
class LoadBalancer:
    """Signs as AWS does: the end of a token, the signer, issuer and client stand in its head."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=_key)
    number: str = NUMBER
    fetches: list[str] = field(default_factory=list)

    def fetch(self, url: str) -> str:
        """AWS's answer for the public key."""
        self.fetches.append(url)
        if url != f"https://public-keys.auth.elb.eu-central-1.amazonaws.com/{self.number}":
            raise NoKeyError("AWS knows no such key of a load balancer")
        return _pem(self.key)

    def head(self, **other: Any) -> dict[str, Any]:
        """A token's head."""
        end = int((datetime.now(UTC) + timedelta(minutes=2)).timestamp())
        its = {"kid": NUMBER, "signer": SIGNER, "iss": BEHIND.issuer, "client": BEHIND.client_id, "exp": end, **other}
        return {name: value for name, value in its.items() if value is not None}

    def token(self, head: dict[str, Any] | None = None, /, **claims: Any) -> str:
        """A token for a person."""
        body = {"sub": "u-1", "email": "ann@example.org", "groups": ["oncall"], **claims}
        kept = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(kept, self.key, "ES256", self.head() if head is None else head)


@dataclass
class Site:
    """The page, and the load balancer in front of it."""

    browser: TestClient
    balancer: LoadBalancer

    def get(self, url: str = "/", token: str | None = None, **headers: str) -> Any:
        """A request as the load balancer sends it on."""
        sent = {HEADER: token} if token is not None else {}
        return self.browser.get(url, headers={**sent, **headers}, follow_redirects=False)

    def act(self, url: str, token: str, csrf: str, **form: str) -> Any:
        """A form of the page."""
        headers = {HEADER: token, "origin": ORIGIN}
        return self.browser.post(url, data={"csrf": csrf, **form}, headers=headers, follow_redirects=False)

    def csrf(self, token: str) -> str:
        """The form's token on a page that this person sees."""
        found = self.get("/quarantine", token).text
        return str(found.split('name="csrf" value="')[1].split('"')[0])


@pytest.fixture
def site(sandbox: Sandbox) -> Site:
    return _site(BEHIND)


def _site(found: Behind) -> Site:
    balancer = LoadBalancer()
    app = application(Shared(identify(found)), BehindLoadBalancer(found, Keys(found.region, balancer.fetch)))
    return Site(TestClient(app, base_url=ORIGIN), balancer)


def test_an_operator_comes_in_acts_and_leaves_a_line_with_their_name(site: Site) -> None:
    token = site.balancer.token()
    assert site.get("/", token).status_code == 200
    answer = site.act("/quarantine/add", token, site.csrf(token), task="sell_ticket")
    assert answer.status_code == 303, answer.text
    [line] = site.get("/activity?format=json", token).json()["lines"]
    assert line["who"] == "ann@example.org (u-1)"
    assert len(site.balancer.fetches) == 1


def forged() -> dict[str, Callable[[LoadBalancer], str | None]]:
    """Tokens that mustn't do, each by what is wrong with it."""
    past = int((datetime.now(UTC) - timedelta(seconds=1)).timestamp())
    stranger = LoadBalancer()
    other = SIGNER.replace("123456789012", "210987654321")

    def changed(ours: LoadBalancer) -> str:
        head, _, signature = ours.token(groups=["engineering"]).split(".")
        _, body, _ = ours.token(groups=["oncall"]).split(".")
        return f"{head}.{body}.{signature}"

    def unsigned(ours: LoadBalancer) -> str:
        return jwt.encode({"sub": "u-1", "groups": ["oncall"]}, "", "none", ours.head())

    def by_a_secret(ours: LoadBalancer) -> str:
        # An application that takes any algorithm would check this with the public key, which everybody has.
        secret = base64.b64encode(_pem(ours.key).encode())
        return jwt.encode({"sub": "u-1", "groups": ["oncall"]}, secret, "HS256", ours.head())

    return {
        "missing": lambda ours: None,
        "empty": lambda ours: "",
        "no token": lambda ours: "oncall",
        "three dots": lambda ours: "..",
        "no JSON": lambda ours: "e30.e30.e30",
        "signed by another key": lambda ours: stranger.token(ours.head()),
        "changed after it was signed": changed,
        "not signed": unsigned,
        "signed with the public key as a secret": by_a_secret,
        "of another account's load balancer": lambda ours: ours.token(ours.head(signer=other)),
        "without a signer": lambda ours: ours.token(ours.head(signer=None)),
        "of another provider": lambda ours: ours.token(ours.head(iss="https://evil.example")),
        "for another application": lambda ours: ours.token(ours.head(client="wiki")),
        "expired": lambda ours: ours.token(ours.head(exp=past)),
        "expired in its body": lambda ours: ours.token(exp=past),
        "without an end": lambda ours: ours.token(ours.head(exp=None)),
        "with an end that is no number": lambda ours: ours.token(ours.head(exp="soon")),
        "with an end that is NaN": lambda ours: ours.token(ours.head(exp="nan")),
        "without a subject": lambda ours: ours.token(sub=None),
        "with an empty subject, as anybody else may have": lambda ours: ours.token(sub=" "),
        "with a subject that is no text": lambda ours: ours.token(sub=7),
        "with a path for a key": lambda ours: ours.token(ours.head(kid="../../latest/meta-data")),
        "with another host for a key": lambda ours: ours.token(ours.head(kid="@evil.example/")),
        "without a key": lambda ours: ours.token(ours.head(kid=None)),
        "with an unknown key": lambda ours: ours.token(ours.head(kid=NUMBER.replace("a", "b"))),
        "too long": lambda ours: ours.token(groups=["oncall" * 10_000]),
    }


@pytest.mark.parametrize("wrong", forged())
def test_without_the_load_balancers_word_nobody_sees_or_does_anything(site: Site, wrong: str) -> None:
    right = site.balancer.token()
    csrf = site.csrf(right)
    token = forged()[wrong](site.balancer)
    for url in ("/", "/activity", "/tasks?format=json", "/nowhere"):
        answer = site.get(url, token)
        assert answer.status_code == 401, url
        assert "You can&#39;t come in" in answer.text
        assert "ferries" not in answer.text
        assert "u-1" not in answer.text
    headers = {"origin": ORIGIN} | ({HEADER: token} if token is not None else {})
    answer = site.browser.post("/quarantine/add", data={"csrf": csrf}, headers=headers, follow_redirects=False)
    assert answer.status_code == 401
    assert site.get("/activity?format=json", right).json()["lines"] == []
    # What a stranger chooses never leads to another address.
    keys = "https://public-keys.auth.elb.eu-central-1.amazonaws.com/"
    assert all(url.removeprefix(keys).replace("-", "").isalnum() for url in site.balancer.fetches)


def test_a_second_token_in_a_request_is_somebody_elses(site: Site) -> None:
    token = site.balancer.token()
    headers = [(HEADER, token), (HEADER, token)]
    assert site.browser.get("/", headers=headers).status_code == 401


def test_a_token_with_the_padding_that_load_balancers_leave_in_is_right(site: Site) -> None:
    def part(content: dict[str, Any]) -> bytes:
        text = json.dumps(content)
        return base64.urlsafe_b64encode((text + " " * (2 - len(text) % 3)).encode())

    balancer = site.balancer
    signed = part({"typ": "JWT", "alg": "ES256", **balancer.head()}) + b"." + part({"sub": "u-1", "groups": "oncall"})
    assert b"=." in signed
    signature = jwt.get_algorithm_by_name("ES256").sign(signed, balancer.key)
    assert site.get("/", (signed + b"." + base64.urlsafe_b64encode(signature)).decode()).status_code == 200


def test_a_viewer_looks_and_changes_nothing(site: Site) -> None:
    token = site.balancer.token(sub="u-2", email="ben@example.org", groups=["engineering"])
    overview = site.get("/", token)
    assert overview.status_code == 200
    assert "read-only" in overview.text
    assert "<button>Pause" not in overview.text
    # With the form of an operator, who has told them its token.
    csrf = site.csrf(site.balancer.token())
    for own in (csrf, ""):
        answer = site.act("/quarantine/add", token, own)
        assert answer.status_code == 403
        assert "Nothing was done" in answer.text
    assert site.get("/activity?format=json", token).json()["lines"] == []


def test_an_operators_form_is_no_use_to_another_operator(site: Site) -> None:
    ann, ben = site.balancer.token(), site.balancer.token(sub="u-2")
    answer = site.act("/quarantine/add", ben, site.csrf(ann))
    assert answer.status_code == 403
    assert "of an earlier session" in answer.text


@pytest.mark.parametrize("sees", [True, False])
def test_a_viewer_sees_arguments_and_results_only_if_the_deploy_says_so(sandbox: Sandbox, *, sees: bool) -> None:
    body = b'{"task": "sell_ticket", "args": {"passenger": "carla-4711"}}'
    sandbox.send(ferries, body.decode(), attributes={"manifest": "manifest-4711"})
    sandbox.drain()
    site = _site(msgspec.structs.replace(BEHIND, viewers_see_arguments=sees))
    viewer, operator = site.balancer.token(sub="u-2", groups=["engineering"]), site.balancer.token()
    [group] = site.get("/dead-letters/ferries?format=json", viewer).json()["groups"]
    kind = group["kind"]
    [letter] = site.get(f"/dead-letters/ferries?kind={kind}&format=json", viewer).json()["letters"]
    url = f"/dead-letters/ferries/letter/{letter['message_id']}"
    assert "carla-4711" not in site.get(url, viewer).text
    for shown in (f"{url}?arguments=show", f"{url}?arguments=show&format=json"):
        assert ("carla-4711" in site.get(shown, viewer).text) is sees
        assert "carla-4711" in site.get(shown, operator).text
    # The sender's attributes may quote them.
    for page in (url, f"{url}?format=json"):
        assert ("manifest-4711" in site.get(page, viewer).text) is sees
        assert "manifest-4711" in site.get(page, operator).text
    # So may the filter of somebody's redrive.
    site.act("/dead-letters/ferries/jobs", operator, site.csrf(operator), what="redrive", contains="carl", rate="1/s")
    for page in ("/jobs?format=json", "/jobs/1", "/jobs/1?format=json", "/dead-letters?format=json"):
        assert ("carl" in site.get(page, viewer).text.replace("carla-4711", "")) is (sees and "jobs" in page), page
    assert "carl" in site.get("/jobs/1", operator).text
    # To search in arguments is to read them, letter by letter.
    for url in (
        "/dead-letters",
        "/dead-letters/ferries",
        "/dead-letters/ferries/redrive",
        "/dead-letters/ferries/discard",
    ):
        for name in ("text", "contains"):
            assert site.get(f"{url}?{name}=carla", viewer).status_code == (200 if sees else 400), url


@pytest.mark.parametrize("groups", [None, [], "oncall2", ["visitors"], 7, {"oncall": True}, [["oncall"]]])
def test_who_is_signed_in_without_a_role_is_told_so(site: Site, groups: object) -> None:
    answer = site.get("/", site.balancer.token(groups=groups))
    assert answer.status_code == 403
    assert "none of your values of the claim &#39;groups&#39;" in answer.text


def test_an_address_that_nobody_checked_is_nobodys(sandbox: Sandbox) -> None:
    site = _site(msgspec.structs.replace(BEHIND, claim="email", operators=("ann@example.org",), viewers=()))
    assert site.get("/", site.balancer.token()).status_code == 200
    assert site.get("/", site.balancer.token(email_verified=True)).status_code == 200
    unchecked: tuple[object, ...] = (False, "false", "False", 0, "no", [])
    for no in unchecked:
        assert site.get("/", site.balancer.token(email_verified=no)).status_code == 403


def test_anybody_may_look_where_the_deploy_says_so(sandbox: Sandbox) -> None:
    site = _site(msgspec.structs.replace(BEHIND, viewers=("*",)))
    answer = site.get("/", site.balancer.token(groups=None))
    assert answer.status_code == 200
    assert "read-only" in answer.text


@pytest.mark.parametrize("host", ["evil.example", f"{DOMAIN}:8080", f"{DOMAIN}.evil.example", "127.0.0.1:8080", ""])
def test_another_name_for_the_page_gets_nothing(site: Site, host: str) -> None:
    for url in ("/", LEAVE):
        assert site.get(url, site.balancer.token(), host=host).status_code == 421


def test_a_form_of_another_site_does_nothing(site: Site) -> None:
    token = site.balancer.token()
    for origin in ("https://evil.example", "null", f"http://{DOMAIN}.evil.example", "https://[", f"//{DOMAIN}@evil"):
        answer = site.browser.post(
            "/quarantine/add", data={"csrf": site.csrf(token)}, headers={HEADER: token, "origin": origin}
        )
        assert answer.status_code == 403


def test_the_load_balancer_learns_that_the_page_runs_and_nothing_else(site: Site) -> None:
    answer = site.get(HEALTH, host="10.0.1.17:8080")
    assert (answer.status_code, answer.text) == (200, "ok")


def test_who_leaves_is_asked_to_sign_in_again(sandbox: Sandbox) -> None:
    here, there = _site(BEHIND), _site(msgspec.structs.replace(BEHIND, sign_out="https://login.example.org/out"))
    for site, status in ((here, 200), (there, 303)):
        answer = site.get(LEAVE)
        assert answer.status_code == status
        cleared = answer.headers.get_list("set-cookie")
        assert [each.split("=")[0] for each in cleared] == [f"{COOKIE}-{part}" for part in range(4)]
        assert all("Max-Age=0" in each for each in cleared)
    assert there.get(LEAVE).headers["location"] == "https://login.example.org/out"
    assert f'href="{LEAVE}"' in here.get("/", here.balancer.token()).text


def test_a_key_is_fetched_again_when_the_load_balancer_has_another(site: Site) -> None:
    balancer = site.balancer
    assert site.get("/", balancer.token()).status_code == 200
    balancer.key, balancer.number = _key(), NUMBER.replace("a", "c")
    assert site.get("/", balancer.token(balancer.head(kid=balancer.number))).status_code == 200
    assert len(balancer.fetches) == 2


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("eu-central-1", "https://public-keys.auth.elb.eu-central-1.amazonaws.com/"),
        ("us-gov-west-1", "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1/"),
        ("us-gov-east-1", "https://s3-us-gov-east-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-east-1/"),
        ("cn-north-1", "https://public-keys.auth.elb.cn-north-1.amazonaws.com.cn/"),
    ],
)
def test_each_partition_has_its_own_address_of_the_keys(region: str, address: str) -> None:
    assert Keys(region, lambda url: url).get(NUMBER) == f"{address}{NUMBER}"


def test_what_the_load_balancer_opens_to_everybody_lets_nobody_ask_aws_for_keys(site: Site) -> None:
    token = site.balancer.token(site.balancer.head(kid=NUMBER.replace("a", "b")))
    for path in ("/static/nowhere", "/static/", "/static/..%2factivity", LEAVE):
        answer = site.get(path, token)
        assert answer.status_code == (200 if path == LEAVE else 404), path
        assert "ferries" not in answer.text
    assert site.browser.post("/static/page.css", headers={HEADER: token}).status_code == 405
    assert site.balancer.fetches == []


def test_who_signed_in_in_the_middle_of_a_form_learns_that_it_is_lost(site: Site) -> None:
    answer = site.get("/quarantine/add", site.balancer.token())
    assert answer.status_code == 405
    assert "nothing was done" in answer.text
    assert answer.headers["allow"] == "POST"


def test_keys_are_few_however_many_are_asked_for() -> None:
    keys = Keys("eu-central-1", lambda url: url)
    for number in range(100):
        keys.get(f"00000000-0000-4000-8000-{number:012x}")
    assert len(keys._keys) == 32


def test_a_key_comes_by_http_and_a_missing_one_is_an_error() -> None:
    class Aws(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/right" else 302 if self.path == "/moved" else 404)
            self.send_header("location", "/right")
            self.end_headers()
            self.wfile.write(b"-----BEGIN PUBLIC KEY-----")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Aws) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        at = f"http://127.0.0.1:{server.server_port}"
        assert fetched(f"{at}/right").startswith("-----BEGIN")
        for wrong in ("missing", "moved"):
            with pytest.raises(NoKeyError):
                fetched(f"{at}/{wrong}")
        server.shutdown()
    with pytest.raises(NoKeyError):
        fetched(f"{at}/right")


def test_a_session_ends_after_a_day_without_use_and_there_are_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    sessions = Sessions()
    first = sessions.of("ann")
    now[0] += SECONDS - 1
    assert sessions.of("ann") is first
    now[0] += SECONDS
    assert sessions.of("ann") is not first
    for number in range(MOST + 10):
        sessions.of(f"{number}")
    assert len(sessions._of) == MOST


def test_settings_that_are_missing_or_damaged_say_so() -> None:
    with pytest.raises(ValueError, match=f"{VARIABLE} is missing"):
        behind({})
    with pytest.raises(ValueError, match="isn't what the construct Web"):
        behind({VARIABLE: '{"domain": "x"}'})
    assert behind({VARIABLE: msgspec.json.encode(BEHIND).decode()}) == BEHIND
