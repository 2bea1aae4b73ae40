"""A program at the pool's own interface that can wait, hang, fail and die when a test asks for it.

It computes sum, max and doubled values of `x` (n,) in one sharded stage, then their mean in a whole one.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.errors import ErrorCode, NonFinite
from chainrule.ir.graph import Debug
from chainrule_server.engine.tree import Fold, Segment

FLOAT = np.dtype(np.float32)
_SEGMENTS = (Segment("sum", FLOAT, 0, 1), Segment("max", FLOAT, 64, 1))


@dataclass(frozen=True, slots=True)
class Place:
    region: int = 0


@dataclass(frozen=True, slots=True)
class Port:
    name: str
    key: str
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class Stage:
    sharded: bool
    debug: Debug = field(default_factory=Debug)


@dataclass(frozen=True, slots=True)
class Slot:
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Partials:
    nbytes: int = 128
    segments: tuple[Segment, ...] = _SEGMENTS
    keys: tuple[str, ...] = ("total", "peak")


@dataclass(frozen=True, slots=True)
class Layout:
    nbytes: int
    slots: dict[str, Slot]
    microshards: tuple[tuple[int, int], ...]
    peak_bytes: int = 0
    flops: int = 0

    def partials(self, stage: int) -> Partials:
        return Partials()


@dataclass(frozen=True)
class ToyProgram:
    """`rows` a microshard; `trap` is what happens at its first microshard, `at` which one it is.

    Traps: die (always, or once with a `marker` path), hang, fail, bug, grab (bytes), wait (paths `begun`
    and `go` of FIFOs), modules (a path for the names of loaded modules), state (write buffer = read buffer
    + 1), scribble (on the read buffer).
    """

    rows: int = 3
    trap: dict[str, Any] = field(default_factory=dict)
    inputs = (Port("x", "x"),)
    outputs = (
        Port("total", "total"),
        Port("peak", "peak"),
        Port("twice", "twice"),
        Port("mean", "mean"),
    )
    stages = (Stage(True), Stage(False))

    def encode(self) -> bytes:
        return json.dumps({"rows": self.rows, "trap": self.trap}).encode()

    def layout(self, n: int) -> Layout:
        return lay_out(n, self.rows)


def lay_out(n: int, rows: int) -> Layout:
    wide = -(-4 * n // 64) * 64
    slots = {
        "x": Slot(0, FLOAT, (n,)),
        "twice": Slot(wide, FLOAT, (n,)),
        "total": Slot(2 * wide, FLOAT, ()),
        "peak": Slot(2 * wide + 64, FLOAT, ()),
        "mean": Slot(2 * wide + 128, FLOAT, ()),
    }
    shards = tuple((lo, min(lo + rows, n)) for lo in range(0, n, rows))
    return Layout(2 * wide + 192, slots, shards)


class LoadedToy:
    """The program in a worker."""

    def __init__(self, data: bytes, progress: Callable[[], None]) -> None:
        spec = json.loads(data)
        self._rows: int = spec["rows"]
        self._trap: dict[str, Any] = spec["trap"]
        self._progress = progress

    def run_block(
        self, stage: int, n: int, regions: dict[int, memoryview], lo: int, hi: int, out: memoryview
    ) -> None:
        layout = lay_out(n, self._rows)
        x, twice = (array(regions[0], layout.slots[name]) for name in ("x", "twice"))
        fold = Fold(_SEGMENTS, 128)
        for shard in range(lo, hi):
            if self._trap and shard == self._trap.get("at", 0):
                self._spring(regions)
            first, last = layout.microshards[shard]
            part = x[first:last]
            twice[first:last] = 2 * part
            leaf = fold.leaf()
            leaf[:4].view(FLOAT)[0] = part.sum()
            leaf[64:68].view(FLOAT)[0] = part.max()
            fold.push()
            self._progress()
        fold.finish(out)

    def run_whole(self, stage: int, n: int, regions: dict[int, memoryview]) -> None:
        slots = lay_out(n, self._rows).slots
        mean, total = (array(regions[0], slots[name]) for name in ("mean", "total"))
        mean[...] = total / np.float32(n)

    def forget(self, region: memoryview) -> None:
        """Nothing of it is kept."""

    def _spring(self, regions: dict[int, memoryview]) -> None:
        match self._trap["kind"]:
            case "die":
                marker = self._trap.get("marker")
                if marker is None or not os.path.exists(marker):
                    if marker is not None:
                        os.close(os.open(marker, os.O_CREAT | os.O_WRONLY))
                    os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                signal.pause()
            case "fail":
                raise NonFinite("the loss is nan", code=ErrorCode.NON_FINITE, node=17, step=3)
            case "bug":
                raise ZeroDivisionError("a secret path /srv/x")
            case "grab":
                np.ones(self._trap["nbytes"], np.uint8)
            case "wait":
                with open(self._trap["begun"], "wb") as begun:
                    begun.write(os.getpid().to_bytes(4, "little"))
                with open(self._trap["go"], "rb", buffering=0) as go:
                    go.read(1)
            case "modules":
                with open(self._trap["path"], "w") as file:
                    json.dump(sorted(sys.modules), file)
            case "state":
                read, write = (np.frombuffer(regions[number], np.uint8) for number in (1, 2))
                write[:] = read + 1
            case "scribble":
                np.frombuffer(regions[1], np.uint8)[:] = 1


def array(board: memoryview, slot: Slot) -> NDArray[Any]:
    return np.ndarray(slot.shape, slot.dtype, board, slot.offset)
