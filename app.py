"""The CDK app: it turns configuration into stacks. It makes no AWS call and needs no credentials.

Example: `cdk synth -c stage=dev`. infra/celeriac_cdk/config.py and infra/application.py describe more context values.
"""

import os
import sys
from pathlib import Path


def _put_node_on_path() -> None:
    """Put the Node of uv.lock first on PATH. The import of aws_cdk starts jsii, which uses the first Node on PATH."""
    beside = Path(sys.executable).parent
    if (beside / "node").exists():
        os.environ["PATH"] = f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"


def main() -> None:
    """Synthesize the stage that the context names. A user's error ends in one sentence, not in a traceback."""
    _put_node_on_path()
    import aws_cdk as cdk  # noqa: PLC0415 - Node must be on PATH before this import

    from celeriac_cdk.stacks.stage import USER_ERRORS, declare_stage  # noqa: PLC0415 - imports aws_cdk
    from infra.application import ApplicationState, application  # noqa: PLC0415 - imports aws_cdk

    app = cdk.App()
    try:
        declare_stage(app, Path(__file__).parent, state=ApplicationState, application=application)
        app.synth()
    except USER_ERRORS as error:
        sys.exit(f"celeriac: {error}")


if __name__ == "__main__":
    main()
