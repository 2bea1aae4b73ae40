"""What the pool asks of the engine: programs as the supervisor and as a worker see them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from chainrule.ir.graph import Debug
from chainrule_server.engine.tree import Segment

BOARD, STATE_READ, STATE_WRITE = 0, 1, 2

Progress: TypeAlias = Callable[[], None]


class PlaceLike(Protocol):
    """Where a port lives: a region's number, and an offset where the board does not decide it."""

    @property
    def region(self) -> int: ...


class PortLike(Protocol):
    """An input or output of a program: its name outside, its key among the slots."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def place(self) -> PlaceLike: ...


class StageLike(Protocol):
    """A part of a program that runs without meeting the others."""

    @property
    def sharded(self) -> bool: ...
    @property
    def debug(self) -> Debug: ...


class SlotLike(Protocol):
    """A value's place on the board."""

    @property
    def offset(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


class PartialsLike(Protocol):
    """The packed vector of a sharded stage: a segment and a slot's key for each
    sum and max output."""

    @property
    def nbytes(self) -> int: ...
    @property
    def segments(self) -> Sequence[Segment]: ...
    @property
    def keys(self) -> Sequence[str]: ...


class LayoutLike(Protocol):
    """A program's board for a batch of n rows."""

    @property
    def nbytes(self) -> int: ...
    @property
    def slots(self) -> Mapping[str, SlotLike]: ...
    @property
    def microshards(self) -> Sequence[tuple[int, int]]: ...
    @property
    def peak_bytes(self) -> int: ...
    @property
    def flops(self) -> int: ...
    def partials(self, stage: int) -> PartialsLike: ...


class ProgramLike(Protocol):
    """A compiled request, as the supervisor sees it."""

    @property
    def inputs(self) -> Sequence[PortLike]: ...
    @property
    def outputs(self) -> Sequence[PortLike]: ...
    @property
    def stages(self) -> Sequence[StageLike]: ...
    def encode(self) -> bytes: ...
    def layout(self, n: int) -> LayoutLike: ...


class StateRegions(Protocol):
    """A session's state file as a program sees it: one buffer to read, one to write.

    The fds stay open during the run. Equal keys mean equal files, so a worker keeps its mapping until
    `Coordinator.forget(key)`; another file needs another key.
    """

    @property
    def read_fd(self) -> int: ...
    @property
    def read_offset(self) -> int: ...
    @property
    def write_fd(self) -> int: ...
    @property
    def write_offset(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def key(self) -> bytes: ...


class Loaded(Protocol):
    """A program in a worker, ready to run."""

    def run_block(
        self, stage: int, n: int, regions: dict[int, memoryview], lo: int, hi: int, out: memoryview
    ) -> None: ...
    def run_whole(self, stage: int, n: int, regions: dict[int, memoryview]) -> None: ...
    def forget(self, region: memoryview) -> None: ...


Load: TypeAlias = Callable[[bytes, Progress], Loaded]
