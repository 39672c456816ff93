"""The token with which the load balancer says who asks."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jwt

from celeriac_console.web.deployed.behind import Behind
from celeriac_console.web.deployed.keys import Keys, NoKeyError

HEADER = "x-amzn-oidc-data"
ALGORITHM = "ES256"
_LONGEST = 32_768
"""Characters of a token: a load balancer sends headers of no more than 16 KB."""
_EXPIRED = "its token has expired: load the page again"


class TokenError(Exception):
    """The request has no token of this page's load balancer. The text says what is wrong, and quotes nothing of it."""


def claims(token: str | None, behind: Behind, keys: Keys) -> Mapping[str, Any]:
    """What the identity provider says of the person, after all checks. Raises TokenError.

    The load balancer puts its own name, the issuer, the client and the end of the token into the token's head, which
    its signature covers. Any account has load balancers whose signature is right, so the name is what counts.
    """
    if not token:
        raise TokenError("the request came without the load balancer's word of who asks")
    if len(token) > _LONGEST:
        raise TokenError("its token is too long")
    try:
        head = jwt.get_unverified_header(token)
        if head.get("alg") != ALGORITHM:
            raise TokenError("its token is signed in another way than load balancers sign")
        if head.get("signer") != behind.load_balancer:
            raise TokenError("its token is of another load balancer")
        if head.get("iss") != behind.issuer or head.get("client") != behind.client_id:
            raise TokenError("its token is of another identity provider, or for another application")
        body = jwt.decode(token, keys.get(head.get("kid")), algorithms=[ALGORITHM], options=_CHECKED)
        _check_end(head)
        if not body["sub"].strip():
            raise TokenError("its token doesn't say who you are")
    except NoKeyError as error:
        raise TokenError(f"its token can't be checked: {error}") from error
    except jwt.ExpiredSignatureError as error:
        raise TokenError(_EXPIRED) from error
    except jwt.PyJWTError as error:
        raise TokenError("its token is not signed by the load balancer, or damaged") from error
    return body


_CHECKED: Any = {"verify_signature": True, "verify_exp": True, "verify_aud": False, "require": ["sub"]}
"""The end of the token stands in its head. Some load balancers write it into the body too; then that counts as well."""


def _check_end(head: Mapping[str, Any]) -> None:
    """Raise TokenError unless the head names an end that is to come: seconds since 1970."""
    try:
        end = float(head["exp"])
    except (LookupError, TypeError, ValueError) as error:
        raise TokenError("its token doesn't say when it ends") from error
    if not end > datetime.now(UTC).timestamp():
        raise TokenError(_EXPIRED)
