"""The CDK app of a project: what its app.py calls.

config.py and the project's infra/application.py describe the context values. With `-c delivery=OWNER/REPO` the app
makes the roles of the workflows instead: docs/howto/delivery.md.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celeriac_cdk.application import Describe
    from celeriac_cdk.config import BuildState

type Described = tuple[BuildState, Describe]
"""The class and the function of a project's infra/application.py."""


def main(root: Path, described: Callable[[], Described]) -> None:
    """Synthesize the stage that the context names. A user's error ends in one sentence, not in a traceback.

    root: the folder with celeriac.toml. described: imports the project's infra/application.py.
    """
    _put_node_on_path()
    import aws_cdk as cdk  # noqa: PLC0415 - Node must be on PATH before this import

    from celeriac.model import settings  # noqa: PLC0415 - imported with the stacks
    from celeriac.model.on_path import put_on_path  # noqa: PLC0415
    from celeriac.model.project import read  # noqa: PLC0415
    from celeriac_cdk.delivery.stack import declare_delivery  # noqa: PLC0415 - imports aws_cdk
    from celeriac_cdk.stacks.stage import declare_stage, in_a_sentence, synthesize  # noqa: PLC0415 - imports aws_cdk
    from celeriac_cdk.user_errors import USER_ERRORS  # noqa: PLC0415 - imports the constructs

    root = root.resolve()
    app = cdk.App()
    try:
        project = read(root)
        put_on_path((root / project.source).resolve().parent)  # infra/application.py may import the tasks too
        # All names begin with it, whatever folder the command is typed in.
        os.environ[settings.APPLICATION] = project.name
        os.environ.setdefault(settings.TASKS, Path(project.source).name)
        with in_a_sentence():
            if app.node.try_get_context("delivery") is not None:
                declare_delivery(app, project)
            else:
                state, application = described()
                declare_stage(app, root, project, state=state, application=application)
            synthesize(app)
    except USER_ERRORS as error:
        sys.exit(f"celeriac: {error}")


def _put_node_on_path() -> None:
    """Put the Node of this environment first on PATH: the import of aws_cdk starts jsii, which uses the first one."""
    beside = Path(sys.executable).parent
    if (beside / "node").exists():
        os.environ["PATH"] = f"{beside}{os.pathsep}{os.environ.get('PATH', '')}"
