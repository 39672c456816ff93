"""Which modules of libraries the handlers load.

python -m tests.infra.loaded BUNDLE writes infra/celeriac_cdk/bundle/loaded.txt. Run it if test_bundle.py says that the
list has changed, after an update of a library. BUNDLE is a folder in .celeriac/bundles/, built for this machine.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from celeriac_cdk.bundle.byte_code import LOADED

# Imports and clients are what a cold start loads; the calls load what botocore needs for its first one.
_LOADS = """
import io, sys
sys.path.insert(0, {bundle!r})
from celeriac.entry import consumer, relay, sweeper
import boto3
from botocore.awsrequest import AWSResponse
from celeriac.aws import client

class Body(io.BytesIO):
    def stream(self, **_):
        yield self.read()

boto3.setup_default_session()
boto3.DEFAULT_SESSION.events.register("before-send", lambda request, **_: AWSResponse("", 200, {{}}, Body(b"{{}}")))
for name in ("dynamodb", "sqs", "scheduler", "events", "s3"):
    client.client(name)
client.client("dynamodb").put_item(TableName="t", Item={{"id": {{"S": "a"}}}})
client.client("sqs").send_message(QueueUrl="q", MessageBody="b")
"""


def loaded(bundle: Path) -> list[str]:
    """The modules of libraries that handlers load, or try to load, as paths in the bundle."""
    credentials = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    variables = {"AWS_DEFAULT_REGION": "eu-central-1", "CELERIAC_STAGE": "test", "PATH": os.environ["PATH"]}
    with TemporaryDirectory() as cache:
        # Python looks for byte code in this empty folder only. So it compiles, and writes there, what it loads.
        command = [sys.executable, "-I", "-S", "-X", f"pycache_prefix={cache}", "-c", _LOADS.format(bundle=str(bundle))]
        subprocess.run(command, env=variables | credentials, capture_output=True, text=True, check=True)
        made = Path(cache) / bundle.relative_to("/")
        files = (file.relative_to(made) for file in made.rglob("*.pyc"))
        names = [file.with_name(f"{file.name.partition('.')[0]}.py").as_posix() for file in files]
    return sorted(name for name in names if _is_of_a_library(name))


def _is_of_a_library(name: str) -> bool:
    functions = Path(__file__).parents[2] / "functions"
    return not (functions / name.partition("/")[0]).exists()


if __name__ == "__main__":
    LOADED.write_text("\n".join(loaded(Path(sys.argv[1]).resolve())) + "\n")
