"""The CDK app: it turns configuration into stacks. It makes no AWS call and needs no credentials.

Example: `cdk synth -c stage=dev`. infra/celeriac_cdk/config.py and infra/application.py describe more context values.
With `-c delivery=OWNER/REPO` it makes the roles of the workflows instead: docs/howto/delivery.md.
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

    from celeriac.model import settings  # noqa: PLC0415 - imported with the stacks
    from celeriac.model.project import read  # noqa: PLC0415
    from celeriac_cdk.delivery.stack import declare_delivery  # noqa: PLC0415 - imports aws_cdk
    from celeriac_cdk.stacks.stage import USER_ERRORS, declare_stage, in_a_sentence, synthesize  # noqa: PLC0415 - imports aws_cdk

    root = Path(__file__).parent
    app = cdk.App()
    try:
        project = read(root)
        # All names begin with it, whatever folder the command is typed in.
        os.environ[settings.APPLICATION] = project.name
        with in_a_sentence():
            if app.node.try_get_context("delivery") is not None:
                declare_delivery(app, project)
            else:
                # A user's file, and it may fail.
                from infra.application import ApplicationState, application  # noqa: PLC0415

                declare_stage(app, root, project, state=ApplicationState, application=application)
            synthesize(app)
    except USER_ERRORS as error:
        sys.exit(f"celeriac: {error}")


if __name__ == "__main__":
    main()
