"""What an instance of `Celeriac` leaves behind that can't be built: nothing, so that another try can be made."""

from constructs import Construct

from celeriac_cdk.host.home import forget


class Undo:
    """Takes an instance, its state and its note out of the CDK app. Made before anything is built into it."""

    def __init__(self, construct: Construct, state_scope: Construct | None, state_id: str) -> None:
        self._construct = construct
        self._state_id = state_id
        # What has the id of the state already isn't ours to take away.
        free = state_scope is not None and state_scope.node.try_find_child(state_id) is None
        self._state_scope = state_scope if free else None

    def __call__(self) -> None:
        """Take them out."""
        forget(self._construct)
        scope = self._construct.node.scope
        if scope is not None:
            scope.node.try_remove_child(self._construct.node.id)
        if self._state_scope is not None:
            self._state_scope.node.try_remove_child(self._state_id)
