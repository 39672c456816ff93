"""`celeriac cdk`: the CDK's arguments, what is refused before anything is built, and the known causes of a failure."""

import sys
from pathlib import Path

import pytest

from celeriac_local import cdk_command, install
from celeriac_local.cdk_command import cause, check, options, run
from celeriac_local.cloud.environment import ACCESS_KEY
from celeriac_local.errors import UserError

CDK = """#!/bin/sh
printf '%s|' "$@" "$CELERIAC_STAGE" "$PWD" >> "$RUNS"
echo "the stack was deployed"
echo "This CDK deployment requires bootstrap stack version 6" >&2
exit "$CODE"
"""


def test_the_stage_and_further_arguments_go_to_the_cdk() -> None:
    assert options("deploy", "dev", ["--require-approval", "never"], {}) == [
        *("-c", "stage=dev", "--no-notices", "--all", "--require-approval", "never"),
    ]
    assert options("synth", "dev", [], {}) == ["-c", "stage=dev", "--no-notices", "--quiet"]
    assert options("bootstrap", "dev", [], {}) == ["-c", "stage=dev", "--no-notices"]
    assert options("deploy-delivery", "me/mine", [], {})[:2] == ["-c", "delivery=me/mine"]


def test_in_a_shell_of_the_local_cloud_the_functions_run_on_this_machine() -> None:
    assert "local_cloud=true" in options("deploy", "dev", [], {"AWS_ACCESS_KEY_ID": ACCESS_KEY})


def test_known_causes_have_a_cure() -> None:
    assert cause("deploy", "prod", "Is the account bootstrapped?").endswith("Once: celeriac cdk bootstrap prod")
    assert cause("deploy-delivery", "me/mine", "cdk bootstrap").endswith("Once: celeriac cdk bootstrap dev")
    assert "then: celeriac cdk deploy prod" in cause("deploy", "prod", "Could not load credentials")
    assert cause("diff", "prod", "else") == "cdk diff failed for the stage prod. The reason is above."


def test_the_stage_of_the_local_cloud_is_not_deployed_to_aws() -> None:
    with pytest.raises(UserError, match="celeriac local up"):
        check("deploy", "local", [])


@pytest.mark.parametrize("code", [0, 3])
def test_the_command_ends_with_the_exit_code_of_the_cdk(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    project, cdk = tmp_path / "a project", tmp_path / "cdk"
    (project / "functions").mkdir(parents=True)
    (project / "celeriac.toml").write_text('name = "shop"\n')
    cdk.write_text(CDK)
    cdk.chmod(0o755)
    monkeypatch.chdir(project / "functions")
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("CODE", str(code))
    monkeypatch.setenv("CELERIAC_STAGE", "prod")
    monkeypatch.setattr(install, "cdk", lambda _: cdk)

    assert run("synth", "dev", []) == code

    assert (tmp_path / "runs").read_text() == f"synth|-c|stage=dev|--no-notices|--quiet||{project}|"
    shown = capfd.readouterr()
    assert "the stack was deployed" in shown.out
    assert "requires bootstrap stack" in shown.err
    assert ("Once: celeriac cdk bootstrap dev" in shown.err) is (code != 0)
    assert ("cdk.out/" in shown.out) is (code == 0)


def test_the_module_is_what_the_command_loads() -> None:
    assert cdk_command.app.info.help
    assert Path(sys.executable).with_name("celeriac").exists()
