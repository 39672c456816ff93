"""The bundle of the deployed page: it is built as the functions' is, and runs as the container runs it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import msgspec
import pytest
import urllib3

from celeriac_cdk.bundle.build import build_page
from celeriac_cdk.bundle.errors import BundleError
from celeriac_cdk.bundle.install import explain
from celeriac_cdk.bundle.lock import find_of_page
from celeriac_cdk.bundle.source import Source
from celeriac_cdk.bundle.target import THIS_MACHINE
from celeriac_cdk.ecs.fetched import unpacked
from celeriac_cdk.page.container import command as page_command
from celeriac_console.web.deployed.behind import VARIABLE, Behind

DOMAIN = "tasks.example.org"
ZIPPED_LIMIT = 60_000_000
"""Bytes. A container fetches it once, at its start."""


@pytest.fixture(scope="module")
def page(project: Path) -> Path:
    try:
        return build_page(Source(project / "functions" / "tasks", project), THIS_MACHINE, offline=True)
    except BundleError as error:
        if "could not be fetched" in str(error) and not os.environ.get("CI"):
            pytest.skip("uv's cache lacks the wheels: run `make setup`")
        raise


class Sts(BaseHTTPRequestHandler):
    """The only answer of AWS that the page waits for at its start."""

    def do_POST(self) -> None:
        caller = "<Account>123456789012</Account><Arn>arn:aws:sts::123456789012:assumed-role/page/1</Arn>"
        body = f"<R><GetCallerIdentityResult>{caller}</GetCallerIdentityResult></R>".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """AWS on this machine."""
    with HTTPServer(("127.0.0.1", 0), Sts) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_it_runs_as_the_container_runs_it_and_ends_when_told(
    page: Path, aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.make_archive(str(tmp_path / "page"), "zip", page)
    assert (tmp_path / "page.zip").stat().st_size < ZIPPED_LIMIT
    # The image's Python has no packages. Without `site`, neither has this one.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    (programs / "python").chmod(0o755)
    found = Behind(
        domain=DOMAIN,
        load_balancer="arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/page/1",
        issuer="https://login.example.org",
        client_id="page",
        claim="groups",
        operators=("oncall",),
        viewers=(),
        viewers_see_arguments=False,
        sign_out="",
        keeps=True,
    )
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "eu-central-1",
        "CELERIAC_APPLICATION": "celeriac",
        "CELERIAC_STAGE": "prod",
        "CELERIAC_TASKS": "tasks",
        VARIABLE: msgspec.json.encode(found).decode(),
    }
    command = unpacked(str(tmp_path), "page.zip", page_command("127.0.0.1", 0))
    with subprocess.Popen(["/bin/sh", "-c", command], env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith(f"The page {DOMAIN} listens on port ")
            site = f"http://127.0.0.1:{line.split()[-1].rstrip('.')}"
            assert urllib3.request("GET", f"{site}/health").data == b"ok"
            answer = urllib3.request("GET", f"{site}/", headers={"host": DOMAIN})
            assert answer.status == 401
            assert b"without the load balancer" in answer.data
            style = urllib3.request("GET", f"{site}/static/page.css")
            assert style.status == 200
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_it_is_built_once_and_beside_the_functions(project: Path, page: Path, built: Path) -> None:
    source = Source(project / "functions" / "tasks", project)
    assert build_page(source, THIS_MACHINE, offline=True).stat().st_ino == page.stat().st_ino
    assert (page / "celeriac_console" / "web" / "templates" / "base.html").is_file()
    assert not (built / "celeriac_console").exists()


def test_what_is_not_locked_is_named_with_its_cure(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    with pytest.raises(BundleError, match=r"has no requirements-web.txt.*celeriac\[oidc\]"):
        find_of_page(tmp_path, {})
    (tmp_path / "requirements-web.txt").touch()
    assert find_of_page(tmp_path, {}).name == "requirements-web.txt"
    (tmp_path / "uv.lock").touch()
    assert find_of_page(tmp_path, {}).name == "uv.lock"


def test_uvs_error_for_a_missing_group_says_what_to_type() -> None:
    said = "error: Group `web` is not defined in the project's `dependency-groups` table"
    assert "uv add --group web 'celeriac[oidc]'" in explain(said)
