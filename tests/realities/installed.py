"""Where the other implementations of AWS are installed, and why one of them can't run on this machine."""

import shutil
import subprocess
from functools import cache
from pathlib import Path

ENVIRONMENTS = Path(__file__).with_name("environments")
SQS_PYTHON = ENVIRONMENTS / "sqs/.venv/bin/python"
LAMBDA_PYTHON = ENVIRONMENTS / "lambda/.venv/bin/python"
DYNAMODB = ENVIRONMENTS / "dynamodb/node_modules/amplify-dynamodb-simulator/emulator"

_HOW = "sh local/setup.sh realities"
# DynamoDB Local 1.25.1 is compiled for it.
_OLDEST_JAVA = 17
_JAVA = f"a Java {_OLDEST_JAVA} development kit (JDK)"


def why_no_dynamodb() -> str:
    """Why DynamoDB Local can't run here. Empty if it can."""
    if not (DYNAMODB / "DynamoDBLocal.jar").exists():
        return f"DynamoDB Local isn't installed: {_HOW}"
    return _why_no_java()


def why_no_sqs() -> str:
    """Why LocalStack's SQS can't run here. Empty if it can."""
    return "" if SQS_PYTHON.exists() else f"LocalStack's SQS isn't installed: {_HOW}"


def why_no_lambda() -> str:
    """Why AWS's runtime client can't run here. Empty if it can."""
    return "" if LAMBDA_PYTHON.exists() else f"AWS's runtime client for Lambda isn't installed: {_HOW}"


@cache
def _why_no_java() -> str:
    java = shutil.which("java")
    if java is None:
        return f"DynamoDB Local needs {_JAVA}, and this machine has no `java` on its PATH"
    # macOS has a `java` that only says where to get one.
    told = subprocess.run([java, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=False)
    version = told.stderr.partition("java.specification.version = ")[2].partition("\n")[0]
    if told.returncode or not version.isdigit() or int(version) < _OLDEST_JAVA:
        return f"DynamoDB Local needs {_JAVA}, and `java` here is {version or 'no working Java'}"
    modules = subprocess.run([java, "--list-modules"], capture_output=True, text=True, check=False).stdout
    return "" if "jdk.compiler" in modules else f"DynamoDB Local needs {_JAVA}, and `java` here can't compile"
