"""What a session asks of the engine and of the pool, as small interfaces."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from chainrule.ir.graph import Graph
from chainrule_server.workers.cancellation import Cancellation
from chainrule_server.workers.interfaces import StateRegions

Array = np.ndarray[Any, np.dtype[Any]]
STATE_WRITE = 2


class PlaceLike(Protocol):
    """The region of a port: board 0, state read 1, state write 2."""

    @property
    def region(self) -> int: ...


class PortLike(Protocol):
    """A value that enters or leaves a program."""

    @property
    def name(self) -> str: ...
    @property
    def place(self) -> PlaceLike: ...


class NoticeLike(Protocol):
    """What the engine wants the caller to know."""

    @property
    def code(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def line(self) -> str: ...


class ProgramLike(Protocol):
    """A compiled request."""

    @property
    def inputs(self) -> Sequence[PortLike]: ...
    @property
    def outputs(self) -> Sequence[PortLike]: ...
    @property
    def notices(self) -> Sequence[NoticeLike]: ...
    def rows_at(self, n: int) -> int:
        """Rows of a microshard for n examples; 0 where nothing is split."""


class StatsLike(Protocol):
    """What a run took."""

    @property
    def wall_s(self) -> float: ...
    @property
    def cpu_s(self) -> float: ...
    @property
    def flops(self) -> float: ...
    @property
    def peak_bytes(self) -> int: ...
    @property
    def workers_used(self) -> int: ...
    @property
    def redone(self) -> int: ...


class ResultLike(Protocol):
    """What a run gave: the outputs that lie on the board, by name."""

    @property
    def outputs(self) -> Mapping[str, Array]: ...
    @property
    def stats(self) -> StatsLike: ...


class StepCompiler(Protocol):
    """Graphs to programs. Equal arguments give equal programs; caching is the compiler's affair."""

    @property
    def numerics_id(self) -> bytes:
        """32 bytes that change when golden bits change."""

    def compile_step(
        self, loss: Graph, update: Graph, *, places: Mapping[str, int], microshard_rows: int
    ) -> ProgramLike:
        """Loss, gradient and update in one program.

        It reads `params/.. buffers/.. state/..` at their places in STATE_READ and takes `batch/.. step $key
        capture/..` as feeds. It writes new parameters (params + updates), buffers and optimizer state at
        their places in STATE_WRITE: every leaf but parameters without gradient. Trained are the parameters
        for which `update` has an input grads/... On the board it leaves `loss`, `metrics/..`, `grad_norm`
        and `grad_norm/<parameter>`, and may leave `finite`.
        """

    def compile_gradients(
        self, loss: Graph, update: Graph, *, places: Mapping[str, int], microshard_rows: int
    ) -> ProgramLike:
        """Loss and gradient, added to grads/..: `engine.accumulate.compile_gradients`.

        Like a step's it reads the state and leaves its report on the board. Further feeds are `weight` and
        `keep`; it writes grads/.. and buffers.
        """

    def compile_update(self, update: Graph, *, places: Mapping[str, int]) -> ProgramLike:
        """An update with grads/.. divided by the feed `total`; writes parameters and optimizer state."""

    def compile_forward(
        self, graph: Graph, *, places: Mapping[str, int], microshard_rows: int
    ) -> ProgramLike:
        """The graph's outputs by their names, all on the board; inputs with a place come from STATE_READ."""


class Runner(Protocol):
    """Runs programs; the same bits whoever runs them."""

    def run(
        self,
        program: Any,
        n: int,
        feeds: Mapping[str, Array],
        *,
        state: StateRegions | None,
        deadline: float,
        cancel: Cancellation | None,
    ) -> ResultLike:
        """One run for n examples; STATE_WRITE is complete when it returns.

        Raises:
            ChainruleError: the request can't be run, the deadline has passed, or the caller gave up.
        """

    def forget(self, key: bytes) -> None:
        """The state file of this key is closed: no worker shall hold it."""
