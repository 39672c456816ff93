"""Protects a container of ECS while it works: scaling in, and a deploy, stop those that are idle.

Without it ECS chooses any container to stop, also one that has worked on a task for hours while others are idle.
"""

import json
import math
import os
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import urllib3

from celeriac.model.failure import error_type
from celeriac.observe.log import logger

LONGEST = timedelta(hours=48)
"""The longest protection that ECS gives."""
_PATH = "/task-protection/v1/state"
_SECONDS = 5


class Protection:
    """That of this process. Outside of ECS it does nothing.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
    """

    def __init__(self) -> None:
        agent = os.environ.get("ECS_AGENT_URI")
        self._url = f"{agent}{_PATH}" if agent else None
        self._may_be_on = self._is_on = False

    def begin(self, until: datetime) -> None:
        """Let ECS stop the container no more until then. What ECS refuses is logged, and asked for again next time.

        Asked once: ECS refuses it while more containers are protected than are wanted, `DEPLOYMENT_BLOCKED`.
        """
        if self._url is not None and not self._is_on:
            # Also after an answer that nobody saw the container may be protected.
            self._may_be_on = True
            lasts = min(max(until - datetime.now(UTC), timedelta()) + timedelta(minutes=1), LONGEST)
            minutes = math.ceil(lasts / timedelta(minutes=1))
            self._is_on = self._put({"ProtectionEnabled": True, "ExpiresInMinutes": minutes})

    def end(self) -> None:
        """Let ECS stop the container again."""
        if self._may_be_on:
            self._may_be_on = self._is_on = not self._put({"ProtectionEnabled": False})

    def _put(self, wanted: dict[str, object]) -> bool:
        try:
            answer = urllib3.request(
                "PUT",
                str(self._url),
                body=json.dumps(wanted),
                headers={"Content-Type": "application/json"},
                timeout=_SECONDS,
                retries=False,
            )
            said = json.loads(answer.data)
        except Exception as error:  # noqa: BLE001 - the work goes on without protection
            logger.warning("the container's protection was not changed", extra={"error": error_type(error)})
            return False
        if answer.status == HTTPStatus.OK and "protection" in said:
            return True
        problem = said.get("failure") or said.get("error") or {}
        code = problem.get("Reason") or problem.get("Code")
        logger.warning("the container's protection was not changed", extra={"code": code, "status": answer.status})
        return False
