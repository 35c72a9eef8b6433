"""What a read may ask for in the query of its URL: to wait, a generation at least, and a node that is in touch.

It must not know how a read waits, nor how a state is answered.
"""

from dataclasses import dataclass

from onevalue.bounds import STALE_MAX_S, WAIT_MAX_S
from onevalue.membership import Status
from onevalue.store import GENERATION_MAX, State
from onevalue.web.context import Context
from onevalue.web.parameters import Parameters, integer, seconds
from onevalue.web.problems import ProblemError


@dataclass(frozen=True, slots=True)
class Wish:
    """What a read asks for.

    Attributes:
        wait_s: it may wait so long for what it asks for, 0 .. WAIT_MAX_S.
        min_generation: of the state that it is to get.
        max_stale_s: this node must have heard another member within so long; None if it need not.
    """

    wait_s: float = 0.0
    min_generation: int = 0
    max_stale_s: float | None = None


def wish_of(args: Parameters) -> Wish:
    """What the query asks for; what else it holds is not looked at. Raises ProblemError, 400, naming the parameter."""
    return Wish(
        wait_s=seconds(args, "wait", 0.0, WAIT_MAX_S) or 0.0,
        min_generation=integer(args, "min_generation", 0, GENERATION_MAX) or 0,
        max_stale_s=seconds(args, "max_stale", 0.0, STALE_MAX_S),
    )


def demand_fresh(wish: Wish, context: Context) -> None:
    """Nothing, if this node heard another as lately as wished, or has nobody to hear. Raises ProblemError: 503."""
    if wish.max_stale_s is None:
        return
    contact_s = context.membership.last_contact_s()
    if (contact_s is not None and contact_s <= wish.max_stale_s) or _is_alone(context):
        return
    heard = "has heard no other member yet" if contact_s is None else f"last heard another member {contact_s:.3f} s ago"
    raise ProblemError(503, f"this node {heard}; ask another", extras={"last_contact_s": contact_s})


def demand_generation(wish: Wish, state: State, *, stopping: bool) -> None:
    """Nothing, if the state has the generation that is wished. Raises ProblemError: 504, or 503 if this node stops."""
    if state.generation < wish.min_generation:
        detail = f"the generation here is still {state.generation}, not {wish.min_generation}"
        detail += ", and this node is stopping; ask another" if stopping else ""
        raise ProblemError(503 if stopping else 504, detail, extras={"current": state})


def _is_alone(context: Context) -> bool:
    """This node was told of nobody, and knows nobody who has not left for good; and it would know."""
    if context.membership.trouble() is not None:
        return False
    others = (m for m in context.membership.members() if m.name != context.name)
    return not context.expects_others and all(m.status is Status.LEFT for m in others)
