"""The CDK applications in examples/, as their own commands synthesize them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from aws_cdk.assertions import Template

from tests.infra.conftest import ROOT
from tests.infra.template import Stack


def synthesized(example: str, stack: str, out: Path, **context: Any) -> Stack:
    """The stack of an example, in a process of its own and without the bundle."""
    folder = ROOT / "examples" / example
    python, *command = json.loads((folder / "cdk.json").read_text())["app"].split()
    assert python == "python"
    subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(out),
            "CDK_OUTDIR": str(out),
            "CDK_CONTEXT_JSON": json.dumps({"aws:cdk:bundling-stacks": [], **context}),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        check=True,
    )
    return Stack(stack, Template.from_json(json.loads((out / f"{stack}.template.json").read_text())))
