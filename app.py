"""The CDK app: configuration in, stacks out. It makes no AWS call and needs no credentials.

`cdk synth -c stage=dev`; further context is described in infra/celeriac_cdk/config.py and infra/application.py.
"""

import os
import sys
from pathlib import Path


def _put_node_on_path() -> None:
    """Let jsii, which aws_cdk starts on import, find the Node of uv.lock before any other that a machine has."""
    beside = Path(sys.executable).parent
    if (beside / "node").exists():
        os.environ["PATH"] = f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"


def main() -> None:
    """Synthesize the stage that the context names; what a user got wrong ends in one sentence, not in a traceback."""
    _put_node_on_path()
    import aws_cdk as cdk  # noqa: PLC0415 - it needs Node on the PATH already when it is imported

    from celeriac_cdk.stacks.stage import USER_ERRORS, declare_stage  # noqa: PLC0415 - imports aws_cdk
    from infra.application import ApplicationState, application  # noqa: PLC0415 - imports aws_cdk

    app = cdk.App()
    try:
        declare_stage(app, Path(__file__).parent, state=ApplicationState, application=application)
    except USER_ERRORS as error:
        sys.exit(f"celeriac: {error}")
    app.synth()


if __name__ == "__main__":
    main()
