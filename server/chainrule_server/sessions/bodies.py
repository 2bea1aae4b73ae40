"""What the operations of a session ask for, each with its method."""

from dataclasses import dataclass

from chainrule.ir.operations import Method
from chainrule_server.sessions.types import BatchRef, NamedTensor


@dataclass(frozen=True, slots=True, eq=False)
class StepBody:
    """Loss, gradient and optimizer update in one. The graph is named by its digest."""

    graph_digest: bytes
    batch: tuple[NamedTensor, ...] = ()
    batch_ref: BatchRef | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class ForwardBackwardBody:
    """Loss and gradient of a batch, added to what has accumulated; weight is of each example."""

    graph_digest: bytes
    batch: tuple[NamedTensor, ...] = ()
    batch_ref: BatchRef | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class OptimStepBody:
    """An update with the mean of the accumulated gradients."""


@dataclass(frozen=True, slots=True)
class DiscardGradientsBody:
    """Nothing has accumulated any more."""


@dataclass(frozen=True, slots=True, eq=False)
class SetStateBody:
    """New values for leaves of the state."""

    tensors: tuple[NamedTensor, ...]


@dataclass(frozen=True, slots=True)
class SaveBody:
    """Keep the state under a name of the tenant."""

    name: str


@dataclass(frozen=True, slots=True)
class RestoreBody:
    """Take the state of a checkpoint, also of one made under other numerics where that is allowed."""

    checkpoint: bytes
    allow_drift: bool = False


@dataclass(frozen=True, slots=True)
class CloseBody:
    """The last operation of a session."""


Body = (
    StepBody
    | ForwardBackwardBody
    | OptimStepBody
    | DiscardGradientsBody
    | SetStateBody
    | SaveBody
    | RestoreBody
    | CloseBody
)
METHOD_OF: dict[type[Body], Method] = {
    StepBody: Method.STEP,
    ForwardBackwardBody: Method.FORWARD_BACKWARD,
    OptimStepBody: Method.OPTIM_STEP,
    DiscardGradientsBody: Method.DISCARD_GRADIENTS,
    SetStateBody: Method.SET_STATE,
    SaveBody: Method.SAVE,
    RestoreBody: Method.RESTORE,
    CloseBody: Method.CLOSE,
}


def tensors_of(body: Body) -> tuple[NamedTensor, ...]:
    """The tensors that an operation brings."""
    if isinstance(body, StepBody | ForwardBackwardBody):
        return body.batch
    return body.tensors if isinstance(body, SetStateBody) else ()
