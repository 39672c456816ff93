"""Which variables of a shell would lead a client of AWS elsewhere: to a real account, another emulator or a proxy."""

import os

# CELERIAC_ too: the stage and the key of another deployment. BOTO_CONFIG names a file with credentials.
_PREFIXES = ("AWS_", "BOTO_", "CDK_", "CELERIAC_")

# What a client finds without any variable. The files in ~/.aws name profiles, roles and endpoints, a machine on EC2
# has credentials of its own, and ~/.boto is one more place where botocore looks for them.
SHUT = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "BOTO_CONFIG": os.devnull,
}


def leads_elsewhere(name: str) -> bool:
    """Whether a variable of this name decides whose AWS a client talks to, or by which way."""
    return name.startswith(_PREFIXES) or is_proxy(name)


def is_proxy(name: str) -> bool:
    """Whether it names a proxy, or the exceptions from one: HTTPS_PROXY, all_proxy, npm_config_noproxy and the like."""
    return name.lower().endswith(("_proxy", "_noproxy"))
