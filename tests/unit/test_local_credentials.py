"""`make deploy` checks the credentials with AWS before it builds anything."""

import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from celeriac_local.credentials import unusable


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder and environment of a user who has never used AWS."""
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / ".aws").mkdir()
    return tmp_path


class Sts(BaseHTTPRequestHandler):
    """Refuses every call."""

    code = "InvalidClientTokenId"

    def do_POST(self) -> None:
        body = f"<ErrorResponse><Error><Code>{self.code}</Code><Message>no</Message></Error></ErrorResponse>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class has this name
        pass


@pytest.fixture
def refusing(home: Path) -> Iterator[type[Sts]]:
    with HTTPServer(("127.0.0.1", 0), Sts) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        (home / ".aws" / "config").write_text(
            "[profile dev]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = x\nregion = eu-west-1\n"
            f"endpoint_url = http://127.0.0.1:{server.server_port}\n"
        )
        yield Sts
        server.shutdown()


def test_missing_credentials_are_reported() -> None:
    assert unusable([], os.environ) == "there are none"


def test_a_missing_profile_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["--profile", "nope"], ["--require-approval", "never", "--profile=nope"]):
        assert unusable(words, os.environ) == "The config profile (nope) could not be found"
    monkeypatch.setenv("AWS_PROFILE", "nope")
    assert unusable([], os.environ) == "The config profile (nope) could not be found"


def test_an_incomplete_key_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    assert "missing: AWS_SECRET_ACCESS_KEY" in str(unusable([], os.environ))


def test_credentials_that_aws_refuses_are_reported(refusing: type[Sts]) -> None:
    assert unusable(["--profile", "dev"], os.environ) == "AWS refuses them (InvalidClientTokenId)"


def test_an_error_unrelated_to_credentials_is_left_to_the_cdk(
    refusing: type[Sts], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sts, "code", "Throttling")
    assert unusable(["--profile", "dev"], os.environ) is None


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS"])
def test_an_endpoint_other_than_aws_is_not_called(name: str) -> None:
    assert unusable([], {name: "http://127.0.0.1:1"}) is None


def test_credentials_are_not_checked_if_the_cdk_has_a_plugin(home: Path) -> None:
    assert unusable(["--plugin", "x"], os.environ) is None
    (home / ".cdk.json").write_text('{"plugin": ["x"]}')
    assert unusable([], os.environ) is None


def test_a_deploy_without_credentials_ends_before_the_cdk_starts() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("celeriac")), "cdk", "deploy", "dev"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "No credentials that AWS takes: there are none. Nothing was built or deployed.",
        "Sign in (aws sso login) or set AWS_PROFILE. To see the credentials in use: aws sts get-caller-identity",
        "Then: celeriac cdk deploy dev",
    ]
