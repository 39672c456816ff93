"""Which variables of a shell would lead an AWS client elsewhere: to a real account, another emulator or a proxy."""

import os
import re

from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, DEFAULT_S3_CONFIG_VARS

# CELERIAC_ variables may name the stage and the key of another deployment. BOTO_CONFIG names a file with credentials.
# The CDK reads every CDK_ variable as one of its options. MOTO_ and the next three send a test's clients to a moto
# server.
_PREFIXES = ("BOTO_", "BOTOCORE_", "CDK_", "CELERIAC_", "MOTO_")

_OF_MOTO = {"TEST_SERVER_MODE", "TEST_SERVER_MODE_ENDPOINT", "TEST_PROXY_MODE"}

# The variables of botocore's settings. botocore's table has one name, several names or no name for each setting.
_OF_BOTOCORE = {
    name
    for _, names, *_ in (*BOTOCORE_DEFAUT_SESSION_VARIABLES.values(), *DEFAULT_S3_CONFIG_VARS.values())
    for name in ([names] if isinstance(names, str) else names or ())
}
# Further variables that Lambda, the command lines and the SDKs of other languages read.
_OF_OTHERS = {
    *("AWS_REGION", "AWS_ACCOUNT_ID", "AWS_CREDENTIAL_EXPIRATION", "AWS_CREDENTIAL_FILE", "AWS_CREDENTIAL_SCOPE"),
    *("AWS_EXECUTION_ENV", "AWS_ENABLE_ENDPOINT_DISCOVERY", "AWS_SDK_LOAD_CONFIG", "AWS_PAGER", "AWS_VAULT"),
}
_FAMILIES = re.compile(r"AWS_(CONTAINER|CSM|DEFAULT|EC2|LAMBDA|LOGIN|METADATA|ROLE|SSO|WEB_IDENTITY|XRAY)_")
# Variables of other libraries: django-storages reads AWS_S3_ACCESS_KEY_ID and AWS_S3_ENDPOINT_URL, and there are more.
_KEY_OR_ADDRESS = re.compile(r"AWS_.*(ACCESS_KEY|SECRET|TOKEN|CREDENTIAL|PASSWORD|PROFILE|ENDPOINT)|AWS_SECRET_KEY")

# A client also finds settings without any variable; these values prevent it. The files in ~/.aws name profiles, roles
# and endpoints. A machine on EC2 has its own credentials. botocore also looks for credentials in ~/.boto.
SHUT = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "BOTO_CONFIG": os.devnull,
}


def leads_elsewhere(name: str) -> bool:
    """Whether a variable of this name decides which AWS account a client talks to, as which user, or by which route.

    Any other variable is the user's own, even if its name begins with AWS_: AWS_STORAGE_BUCKET_NAME.
    """
    return (
        name.startswith(_PREFIXES)
        or name in _OF_BOTOCORE | _OF_OTHERS | _OF_MOTO
        or bool(_FAMILIES.match(name) or _KEY_OR_ADDRESS.match(name))
        or is_proxy(name)
    )


def is_proxy(name: str) -> bool:
    """Whether a variable sets a proxy, or exceptions from one: HTTPS_PROXY, all_proxy, npm_config_noproxy and so on."""
    return name.lower().endswith(("_proxy", "_noproxy"))
