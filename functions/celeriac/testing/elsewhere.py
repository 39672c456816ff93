"""Which variables of a shell would lead a client of AWS elsewhere: to a real account, another emulator or a proxy."""

import os
import re

from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, DEFAULT_S3_CONFIG_VARS

# CELERIAC_ too: the stage and the key of another deployment. BOTO_CONFIG names a file with credentials. The CDK reads
# every CDK_ variable as one of its options. MOTO_ and the next three send a test's clients to a server of moto's.
_PREFIXES = ("BOTO_", "BOTOCORE_", "CDK_", "CELERIAC_", "MOTO_")

_OF_MOTO = {"TEST_SERVER_MODE", "TEST_SERVER_MODE_ENDPOINT", "TEST_PROXY_MODE"}

# What botocore's settings are called. Its table holds a name, several, or none for each.
_OF_BOTOCORE = {
    name
    for _, names, *_ in (*BOTOCORE_DEFAUT_SESSION_VARIABLES.values(), *DEFAULT_S3_CONFIG_VARS.values())
    for name in ([names] if isinstance(names, str) else names or ())
}
# What Lambda, the command lines and the SDKs of other languages read besides.
_OF_OTHERS = {
    *("AWS_REGION", "AWS_ACCOUNT_ID", "AWS_CREDENTIAL_EXPIRATION", "AWS_CREDENTIAL_FILE", "AWS_CREDENTIAL_SCOPE"),
    *("AWS_EXECUTION_ENV", "AWS_ENABLE_ENDPOINT_DISCOVERY", "AWS_SDK_LOAD_CONFIG", "AWS_PAGER", "AWS_VAULT"),
}
_FAMILIES = re.compile(r"AWS_(CONTAINER|CSM|DEFAULT|EC2|LAMBDA|LOGIN|METADATA|ROLE|SSO|WEB_IDENTITY|XRAY)_")
# Whoever reads it: django-storages calls its own AWS_S3_ACCESS_KEY_ID and AWS_S3_ENDPOINT_URL, and there are more.
_KEY_OR_ADDRESS = re.compile(r"AWS_.*(ACCESS_KEY|SECRET|TOKEN|CREDENTIAL|PASSWORD|PROFILE|ENDPOINT)|AWS_SECRET_KEY")

# What a client finds without any variable. The files in ~/.aws name profiles, roles and endpoints, a machine on EC2
# has credentials of its own, and ~/.boto is one more place where botocore looks for them.
SHUT = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "BOTO_CONFIG": os.devnull,
}


def leads_elsewhere(name: str) -> bool:
    """Whether a variable of this name decides whose AWS a client talks to, as whom, or by which way.

    Any other name is the user's own, though it may begin with AWS_: AWS_STORAGE_BUCKET_NAME.
    """
    return (
        name.startswith(_PREFIXES)
        or name in _OF_BOTOCORE | _OF_OTHERS | _OF_MOTO
        or bool(_FAMILIES.match(name) or _KEY_OR_ADDRESS.match(name))
        or is_proxy(name)
    )


def is_proxy(name: str) -> bool:
    """Whether it names a proxy, or the exceptions from one: HTTPS_PROXY, all_proxy, npm_config_noproxy and the like."""
    return name.lower().endswith(("_proxy", "_noproxy"))
