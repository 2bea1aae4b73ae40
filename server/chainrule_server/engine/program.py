"""A compiled request: stages in order, where every value lies, what it will cost. Data, so it can be sent.

A program runs its stages one after the other. A sharded stage runs once a microshard, its sums and maxima are
combined by the fixed tree; an unsharded one runs once, on combined values. Between stages every value lies on
the *board*, one block of memory a call whose layout is a function of program and batch size alone.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, InvalidGraph, LimitExceeded
from chainrule.ir import canonical
from chainrule.ir.avals import Aval, BatchDim, DType, shape_at
from chainrule.ir.graph import Debug, Function, Graph
from chainrule_server.engine.plan import Plan, aligned, plan_function
from chainrule_server.engine.sharding import Rows
from chainrule_server.engine.specialise import specialise, specialise_all
from chainrule_server.engine.tree import Segment

BOARD, STATE_READ, STATE_WRITE = 0, 1, 2

# Each takes some bytes of bookkeeping and a tenth of a millisecond at least.
MAX_SHARDS = 65_536

_MAGIC = b"chainrule.program.v1\0"


@dataclass(frozen=True, slots=True)
class Place:
    """Which region a value lies in, and where; None on the board, whose layout depends on N."""

    region: int = BOARD
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A value that enters or leaves a program.

    Attributes:
        name: its name outside.
        aval: may hold k*N.
        place: where the caller puts it or finds it.
        key: the name of the value inside, among slots and stage outputs.
    """

    name: str
    aval: Aval
    place: Place
    key: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the caller should know: a graph that couples examples, a promotion.

    Attributes:
        code: COUPLED.
        text: the sentence.
        label, line: where in the source.
    """

    code: str
    text: str
    label: str = ""
    line: str = ""


@dataclass(frozen=True)
class Stage:
    """One function, and how the microshards' outputs become one.

    Attributes:
        function: primitives only; shapes may hold k*N.
        sharded: once a microshard, or once.
        combines: an entry an output: sum, max, stack (examples side by side) or same.
        outers: an entry an output: the factor before N on the stacked axis.
        bodies: functions that loops of the function name.
        debug: labels and lines of the function's rows; stays with the server.
    """

    function: Function
    sharded: bool
    combines: tuple[str, ...]
    outers: tuple[int, ...]
    bodies: tuple[Function, ...] = ()
    debug: Debug = field(default_factory=Debug, compare=False)
    _plans: dict[int, Plan] = field(default_factory=dict, compare=False, repr=False)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of program inputs and of values of earlier stages."""
        return self.function.input_names

    @property
    def outputs(self) -> tuple[str, ...]:
        """Keys of the values it makes."""
        return self.function.output_names

    def row_bytes(self, n: int) -> int:
        """A worker's own memory for n rows: their inputs, and outputs before they are put side by side."""
        outputs = zip(self.combines, self.function.out_avals, strict=True)
        kept = [aval for how, aval in outputs if how == "stack"]
        kept += [aval for aval in self.function.in_avals if aval.is_batched]
        return sum(aligned(aval.concrete(n).nbytes) for aval in kept)

    def plan(self, n: int) -> Plan:
        """The plan for n rows; made once. A program meets few sizes: whole, ragged, unsplit."""
        if n not in self._plans:
            if len(self._plans) > 64:
                self._plans.clear()
            self._plans[n] = plan_function(
                specialise(self.function, n), specialise_all(self.bodies, n)
            )
        return self._plans[n]


@dataclass(frozen=True, slots=True)
class Slot:
    """A value's place on the board."""

    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the value."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class PartialLayout:
    """The packed vector of a sharded stage: its sum and max outputs in order, 64-byte aligned each."""

    nbytes: int
    segments: tuple[Segment, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Layout:
    """A program for a batch of n examples.

    Attributes:
        nbytes: size of the board.
        slots: by key, for inputs and outputs that lie on the board and for values between stages.
        microshards: rows lo to hi of each, in order.
        peak_bytes: inputs, outputs, values between stages, and the largest of the stages' own memory: arena,
            constants, workspace and the rows of a microshard. Process bases and the partial vectors of the
            tree come on top.
        flops: floating-point operations of the whole call.
    """

    nbytes: int
    slots: Mapping[str, Slot]
    microshards: tuple[tuple[int, int], ...]
    peak_bytes: int
    flops: int
    _partials: tuple[PartialLayout | None, ...]

    def partials(self, stage: int) -> PartialLayout:
        """The packed vector of a sharded stage."""
        found = self._partials[stage]
        if found is None:
            raise ValueError(f"stage {stage} is not sharded")
        return found


@dataclass(frozen=True)
class Program:
    """Everything needed to run a request, but the numbers.

    Attributes:
        inputs, outputs: what enters and leaves.
        stages: in the order in which they run.
        rows: bounds of a microshard's rows; None where nothing is sharded.
        notices: what the caller should know.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    stages: tuple[Stage, ...]
    rows: Rows | None
    notices: tuple[Notice, ...] = ()
    _layouts: dict[int, Layout] = field(default_factory=dict, compare=False, repr=False)

    @property
    def is_batched(self) -> bool:
        """Whether N means anything here."""
        return any(p.aval.is_batched for p in self.inputs)

    @cached_property
    def encoded(self) -> bytes:
        """The program as bytes, the same for equal programs."""
        functions = [canonical.encode(Graph((*s.bodies, s.function))) for s in self.stages]
        header = {
            "rows": [self.rows.least, self.rows.most] if self.rows else None,
            "inputs": [_port_out(p) for p in self.inputs],
            "outputs": [_port_out(p) for p in self.outputs],
            "stages": [
                [len(f), s.sharded, s.combines, s.outers]
                for f, s in zip(functions, self.stages, strict=True)
            ],
        }
        head = json.dumps(header, separators=(",", ":")).encode()
        return b"".join((_MAGIC, struct.pack("<I", len(head)), head, *functions))

    def encode(self) -> bytes:
        """The program as bytes; notices stay behind."""
        return self.encoded

    @staticmethod
    def decode(data: bytes) -> "Program":
        """The program of `encode`. For bytes of our own server only: nothing is checked twice."""
        start = len(_MAGIC)
        if data[:start] != _MAGIC:
            raise InvalidGraph("these bytes are no program", code=ErrorCode.MALFORMED_MESSAGE)
        (size,) = struct.unpack_from("<I", data, start)
        at = start + 4 + size
        header = json.loads(data[start + 4 : at])
        stages = []
        for length, sharded, combines, outers in header["stages"]:
            *bodies, function = canonical.decode(data[at : at + length]).functions
            stages.append(Stage(function, sharded, tuple(combines), tuple(outers), tuple(bodies)))
            at += length
        return Program(
            tuple(map(_port_in, header["inputs"])),
            tuple(map(_port_in, header["outputs"])),
            tuple(stages),
            Rows(*header["rows"]) if header["rows"] else None,
        )

    def layout(self, n: int = 1) -> Layout:
        """The program for n examples (any n where nothing is batched); cached for the last few n."""
        if n not in self._layouts:
            if len(self._layouts) > 16:
                self._layouts.clear()
            self._layouts[n] = self._lay_out(n)
        return self._layouts[n]

    def microshards(self, n: int) -> tuple[tuple[int, int], ...]:
        """Rows of each microshard; the last one may have fewer.

        Raises:
            LimitExceeded: more than MAX_SHARDS of them.
        """
        step = self.rows_at(n) or max(n, 1)
        if n > MAX_SHARDS * step:
            raise LimitExceeded(
                f"a batch of {n} in microshards of {step} rows makes more than {MAX_SHARDS} of them",
                code=ErrorCode.TOO_LARGE,
                cure="send a smaller batch, or take larger microshards",
                limit=MAX_SHARDS * step,
                value=n,
            )
        return tuple((lo, min(lo + step, n)) for lo in range(0, max(n, 1), step))

    def rows_at(self, n: int) -> int:
        """Rows of a full microshard for n examples; 0 where nothing is sharded."""
        return self.rows.at(n) if self.rows else 0

    def _lay_out(self, n: int) -> Layout:
        slots: dict[str, Slot] = {}
        end = 0

        def place(key: str, aval: Aval) -> None:
            nonlocal end
            if key not in slots:
                slots[key] = Slot(end, aval.dtype.numpy, shape_at(aval.shape, n))
                end = aligned(end + slots[key].nbytes)

        for port in self.inputs:
            if port.place.region == BOARD:
                place(port.key, port.aval)
        state_bytes = sum(
            aligned(p.aval.concrete(n).nbytes)
            for p in (*self.inputs, *self.outputs)
            if p.place.region != BOARD
        )
        shards = self.microshards(n)
        partials: list[PartialLayout | None] = []
        flops = scratch = 0
        for stage in self.stages:
            partials.append(_partial_layout(stage) if stage.sharded else None)
            written = {p.key for p in self.outputs if p.place.region != BOARD}
            for key, aval in zip(stage.outputs, stage.function.out_avals, strict=True):
                if stage.sharded or key not in written:
                    place(key, aval)
            plan = stage.plan(shards[0][1] - shards[0][0] if stage.sharded else n)
            runs = (
                [stage.plan(hi - lo).flops for lo, hi in shards] if stage.sharded else [plan.flops]
            )
            flops += sum(runs)
            local = sum(stage.row_bytes(rows) for rows in {hi - lo for lo, hi in shards})
            scratch = max(scratch, plan.scratch_bytes + (local if stage.sharded else 0))
        return Layout(end, slots, shards, end + state_bytes + scratch, flops, tuple(partials))


def _partial_layout(stage: Stage) -> PartialLayout:
    segments, keys, end = [], [], 0
    rows = zip(stage.outputs, stage.combines, stage.function.out_avals, strict=True)
    for key, how, aval in rows:
        if how in ("sum", "max"):
            segments.append(
                Segment("sum" if how == "sum" else "max", aval.dtype.numpy, end, aval.size)
            )
            keys.append(key)
            end = aligned(end + aval.nbytes)
    return PartialLayout(end, tuple(segments), tuple(keys))


def _port_out(port: Port) -> list[Any]:
    dims = [[d.k] if isinstance(d, BatchDim) else d for d in port.aval.shape]
    return [port.name, int(port.aval.dtype), dims, port.place.region, port.place.offset, port.key]


def _port_in(row: list[Any]) -> Port:
    name, dtype, dims, region, offset, key = row
    shape = tuple(BatchDim(d[0]) if isinstance(d, list) else d for d in dims)
    return Port(name, Aval(DType(dtype), shape), Place(region, offset), key)
