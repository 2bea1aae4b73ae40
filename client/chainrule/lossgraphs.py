"""The loss of a session as graphs: one for each form of batch, in training and in evaluation."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, GraphError, Incompatible
from chainrule.ir.avals import DType
from chainrule.tracing import Graph, trace
from chainrule.tracing.leaves import leaves_of

Array = np.ndarray[Any, np.dtype[Any]]
Loss = Callable[..., Any] | Graph

_TRAIN = "train"
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Known:
    """A graph that the server knows by its digest.

    Attributes:
        digest: 32 bytes.
        graph: itself; None where the session was opened without its function.
    """

    digest: bytes
    graph: Graph | None = None


@dataclass(slots=True)
class LossGraphs:
    """Traces the loss when a form of batch comes for the first time.

    Attributes:
        loss: the function, or a graph that serves every batch; None where it isn't at hand.
        params, buffers: `cr.spec`s in the structure of the state; buffers None without any.
        known: graphs by form, as `form_of` names it.
    """

    loss: Loss | None
    params: Any = None
    buffers: Any = None
    known: dict[str, Known] = field(default_factory=dict)

    def find(self, batch: tuple[Any, ...], train: bool) -> Known | None:
        """The graph for a batch, if it has been traced or handed down."""
        return self.known.get(self._form(batch, train))

    def trace(self, batch: tuple[Any, ...], train: bool) -> Graph:
        """The graph for a batch, traced now.

        Raises:
            TraceError, ShapeMismatch: as `cr.trace`.
            Incompatible: the session was opened without its function, and has seen no such batch.
        """
        if isinstance(self.loss, Graph):
            return self.loss
        if self.loss is None:
            raise Incompatible(
                f"the session has no graph for a batch of {_described(batch)}",
                code=ErrorCode.INCOMPATIBLE,
                cure="give the batch the dtypes and shapes it was trained with, or open the session "
                "with its function: client.open_session(id, loss=loss)",
            )
        state = (self.params,) if self.buffers is None else (self.params, self.buffers)
        names = ("params",) if self.buffers is None else ("params", "buffers")
        outputs = ("loss", "metrics") if self.buffers is None else ("loss", "buffers", "metrics")
        kwargs = {_TRAIN: train} if takes_train(self.loss) else None
        first = len(state)
        return trace(
            self.loss,
            *state,
            *batch,
            kwargs=kwargs,
            batch=tuple(range(first, first + len(batch))),
            inputs=(*names, *(f"batch/{i}" for i in range(len(batch)))),
            outputs=outputs,
        )

    def add(self, batch: tuple[Any, ...], train: bool, known: Known) -> None:
        """Remembers a graph for batches of this form."""
        self.known[self._form(batch, train)] = known

    def handed_down(self) -> dict[str, str]:
        """Forms and digests in hex, for the cursor."""
        return {form: known.digest.hex() for form, known in self.known.items()}

    def _form(self, batch: tuple[Any, ...], train: bool) -> str:
        return form_of(batch, train or not takes_train(self.loss))


def form_of(batch: tuple[Any, ...], train: bool) -> str:
    """A short name for names, dtypes and shapes of a batch but its length."""
    described = [
        (name, DType.of(array.dtype).label, array.ndim, array.shape[1:])
        for name, array in batch_arrays(batch).items()
    ]
    text = repr((bool(train), described))
    return hashlib.sha256(text.encode()).hexdigest()[:_SHOWN]


def batch_arrays(batch: tuple[Any, ...]) -> dict[str, Array]:
    """The arrays of a batch by the names that they have in a session's graph.

    Raises:
        GraphError: there is none.
        InvalidGraph: a dtype that chainrule doesn't compute with.
    """
    found: dict[str, Array] = {}
    for i, argument in enumerate(batch):
        for name, leaf in leaves_of(argument, f"batch/{i}"):
            if not isinstance(leaf, str | bool) and not callable(leaf):
                array = np.asarray(leaf)
                dtype = DType.of(array.dtype)
                found[name] = np.ascontiguousarray(array, dtype.numpy).reshape(array.shape)
    if not found:
        raise GraphError(
            "the batch holds no array", code=ErrorCode.MISSING_FIELD, cure="pass step(x, y)"
        )
    return found


def takes_train(loss: Loss | None) -> bool:
    """Whether the function has a keyword `train`."""
    if loss is None or isinstance(loss, Graph):
        return False
    try:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return False
    return _TRAIN in parameters


def _described(batch: tuple[Any, ...]) -> str:
    parts = [f"{n} {a.dtype}{a.shape}" for n, a in batch_arrays(batch).items()]
    return ", ".join(parts[:4])
