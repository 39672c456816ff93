"""The next step of a chain: sent when the one before it has succeeded, as often as a copy of that one comes."""

import msgspec
from msgspec.structs import replace

from celeriac.compose.callbacks import UnknownQueueError
from celeriac.compose.stored import derived, parcel_of
from celeriac.declare import registry
from celeriac.enqueue.send import Parcel, send
from celeriac.flow import steps
from celeriac.flow.steps import Step
from celeriac.leases.result import Kept
from celeriac.model.errors import CeleriacError
from celeriac.model.following import OfChain
from celeriac.model.message import NewerVersionError


class ChainLostError(CeleriacError, LookupError):
    """The next step of a chain isn't stored, or can't be read: the chain ends here."""


class ResultLostError(CeleriacError, LookupError):
    """The next step takes a result that wasn't kept: the chain ends here."""


def send_next(chain: OfChain, kept: Kept) -> None:
    """Send the step behind this one, if there is one. It gets the same id each time.

    kept: the recorded result. Raises ChainLostError, ResultLostError, UnknownQueueError, NewerVersionError,
    and AWS's errors.
    """
    if not chain.queue:
        return
    queue = registry.queues().get(chain.queue)
    if queue is None:
        raise UnknownQueueError(f"the queue {chain.queue!r} of a chain's next step isn't declared in this release")
    at = chain.at + 1
    step = steps.read(chain.queue, chain.id, at)
    if step is None:
        raise ChainLostError(f"its step {at} on the queue {chain.queue!r} isn't stored any more, or never was")
    if step.results and kept.why_not:
        raise ResultLostError(f"its step {at} takes the result, which is not kept: {kept.why_not}")
    try:
        parcel = _filled(parcel_of(step.message, queue, id=derived(chain.id, at)), step, kept)
    except NewerVersionError:
        raise  # a release that was rolled back has stored it: the message waits for the next one
    except (msgspec.MsgspecError, ValueError) as error:
        raise ChainLostError(
            f"its step {at} on the queue {chain.queue!r} can't be read: {type(error).__name__}"
        ) from None
    send(parcel)


def _filled(parcel: Parcel, step: Step, kept: Kept) -> Parcel:
    if not step.results:
        return parcel
    result = msgspec.Raw(msgspec.json.encode(kept.value))
    given = msgspec.json.decode(parcel.message.args, type=dict[str, msgspec.Raw])
    args = msgspec.Raw(msgspec.json.encode(given | dict.fromkeys(step.results, result)))
    return replace(parcel, message=replace(parcel.message, args=args))
