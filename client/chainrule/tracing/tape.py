"""The record of one call of a function: every operation in order, all shapes plain integers.

A tape keeps equal operations apart, so that the tapes of one function at several batch sizes run in step and
can be unified row by row. Hash-consing, k*N dimensions and the removal of dead rows come with the graph
(`build.py`). A function inside a function (`grad(f)` in traced code) has a tape of its own; what it uses
of the outer function enters it as a further input.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

import numpy as np

from chainrule.errors import ChainruleError, ErrorCode, TraceError
from chainrule.ir.attrs import Attrs, AttrValue, complete
from chainrule.ir.avals import Aval, DType
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.inference import infer, signature_of
from chainrule.tracing.notices import Notice
from chainrule.tracing.source import Source, user_source

Array = np.ndarray[Any, np.dtype[Any]]

# Arrays up to this size travel inside the graph; larger ones are bound by digest.
MAX_INLINE_BYTES = 1024
# Up to this size a captured array is compared with its first reading at each use, because user code may
# have written to it in between; beyond it the pass would cost more than the trace.
_MAX_WATCHED_BYTES = 1 << 20

_LIBRARY = {name: f.signature for name, f in FUNCTIONS.items()}


class Value(Protocol):
    """What a tape needs to know of a tracer."""

    @property
    def tape(self) -> "Tape": ...
    @property
    def row(self) -> int: ...
    @property
    def aval(self) -> Aval: ...


class Row(NamedTuple):
    """One operation. `value` is the array of a Constant, in the dtype it was written in."""

    op: str
    inputs: tuple[int, ...]
    attrs: Attrs
    aval: Aval
    source: Source
    value: Array | None = None


class Tape:
    """Rows of one call of one function.

    Args:
        parent: the tape of the function around it, None for the outermost.
        n: the number of examples of the batch in this call, None without a batch.

    Attributes:
        bodies: tapes of the functions that structure rows name, in order; kept by the outermost.
        bindings: rows of the parent that enter as inputs after the function's own.
        outputs, output_names: set when the call has returned.
        order: the rows of the inputs in the order in which they are given; that of the rows by default.
        step: the row of the number of the step, in the body of a loop.
    """

    def __init__(self, parent: "Tape | None" = None, n: int | None = None) -> None:
        self.parent = parent
        self.root: Tape = parent.root if parent else self
        self.n: int | None = parent.n if parent else n
        self.name = "main"
        self.rows: list[Row] = []
        self.bodies: list[Tape] = []
        self.bindings: list[int] = []
        self.outputs: tuple[int, ...] = ()
        self.output_names: tuple[str, ...] = ()
        self.order: tuple[int, ...] | None = None
        self.notices: dict[tuple[str, str], Notice] = {}
        self.step: int | None = None
        self.streams = 0
        self._lifted: dict[int, int] = {}
        self._captured: dict[int, tuple[Array, Array | None, int]] = {}
        self._key: int | None = None

    def input(self, name: str, aval: Aval) -> int:
        """A new input."""
        return self._add(Row("Input", (), (("name", name),), aval, user_source()))

    def record(self, op: str, inputs: Sequence[int], attrs: dict[str, AttrValue]) -> int:
        """A row with one output.

        Raises:
            GraphError: inputs or attributes that don't fit, with the user's line.
        """
        source = user_source()
        try:
            signature = signature_of(op, _LIBRARY)
            full = complete(op, signature.attrs, attrs)
            avals = tuple(self.rows[i].aval for i in inputs)
            (aval,) = infer(signature, avals, full, ())
        except ChainruleError as error:
            error.line = error.line or source.text
            raise
        return self._add(Row(op, tuple(inputs), full, aval, source))

    def record_structure(
        self, op: str, inputs: Sequence[int], attrs: dict[str, AttrValue], avals: Sequence[Aval]
    ) -> tuple[int, ...]:
        """A row with the outputs given by avals, and their Item rows."""
        source = user_source()
        full = tuple(sorted(attrs.items()))
        first = self._add(Row(op, tuple(inputs), full, avals[0], source))
        rest = (
            self._add(Row("Item", (first,), (("index", k),), aval, source))
            for k, aval in enumerate(avals[1:], start=1)
        )
        return (first, *rest)

    def constant(self, value: Any, dtype: DType) -> int:
        """A constant of this dtype. Arrays above MAX_INLINE_BYTES belong to the outermost tape."""
        if isinstance(value, np.ndarray) and value.nbytes > MAX_INLINE_BYTES:
            return self.lift_row(self.root, self.root._capture(value, dtype))
        array = np.array(value)
        return self._add(Row("Constant", (), (), Aval(dtype, array.shape), user_source(), array))

    def _capture(self, array: Array, dtype: DType) -> int:
        known = self._captured.get(id(array))
        if known is not None and self.rows[known[2]].aval.dtype is dtype:
            kept, copy, row = known
            if copy is None or (kept is array and _same_bytes(copy, array)):
                return row
        copy = array.copy() if array.nbytes <= _MAX_WATCHED_BYTES else None
        value = array if copy is None else copy
        row = self._add(Row("Constant", (), (), Aval(dtype, array.shape), user_source(), value))
        # The array itself is kept too: its id must not be given to another one during this trace.
        self._captured[id(array)] = (array, copy, row)
        return row

    def key(self) -> int:
        """The row of the random key: an input of the outermost function, other in each step of a loop."""
        if self._key is None:
            if self.parent is None:
                self._key = self.input("$key", Aval(DType.UINT32, (2,)))
            else:
                key = self.lift_row(self.parent, self.parent.key())
                self._key = key if self.step is None else self._folded(key, self.step)
        return self._key

    @property
    def draws(self) -> bool:
        """Whether random numbers are drawn, in this function or one inside it."""
        return self._key is not None

    def _folded(self, key: int, step: int) -> int:
        """A key for a step: two words of the cipher's block of that number, in a stream of the loop's own."""
        words = self.constant(np.array([0, 1]), DType.INT64)
        block = self.record("Mul", (step, self.constant(4, DType.INT64)), {})
        counter = self.record("Add", (block, words), {})
        return self.record("RandomBits", (key, counter), {"stream": self.next_stream()})

    def next_stream(self) -> int:
        """A new number for random draws, in call order: two equal draws never merge."""
        self.root.streams += 1
        return self.root.streams - 1

    def lift(self, value: Value) -> int:
        """The row of a value of this tape or of one around it.

        Raises:
            TraceError: the value belongs to a call that has ended.
        """
        if value.tape is self:
            return value.row
        tape: Tape | None = self
        while tape is not None and tape is not value.tape:
            tape = tape.parent
        if tape is None:
            raise TraceError(
                f"this value ({value.aval}) belongs to a traced call that has ended",
                code=ErrorCode.TRACE,
                line=user_source().text,
                cure="return it from the function instead of storing it outside",
            )
        return self.lift_row(value.tape, value.row)

    def lift_row(self, tape: "Tape", row: int) -> int:
        """The row here of a row of this tape or of one around it."""
        if tape is self:
            return row
        assert self.parent is not None
        outer = self.parent.lift_row(tape, row)
        found = self._lifted.get(outer)
        if found is None:
            found = self.input(f"closure/{len(self.bindings)}", self.parent.rows[outer].aval)
            self.bindings.append(outer)
            self._lifted[outer] = found
        return found

    def outer(self, row: int) -> int | None:
        """The row of the parent that an input stands for; None where it is an argument."""
        return next((outer for outer, inner in self._lifted.items() if inner == row), None)

    def notice(self, kind: str, text: str) -> None:
        """Remember a remark once a line."""
        line = user_source().text
        self.root.notices.setdefault((kind, line), Notice(kind, text, line))

    def _add(self, row: Row) -> int:
        self.rows.append(row)
        return len(self.rows) - 1


def _same_bytes(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


_current: ContextVar[Tape | None] = ContextVar("chainrule_tape", default=None)


def current() -> Tape | None:
    """The tape that operations are recorded on now, None outside of traced code."""
    return _current.get()


@contextmanager
def recording(tape: Tape) -> Iterator[Tape]:
    """Record on this tape within the block."""
    token = _current.set(tape)
    try:
        yield tape
    finally:
        _current.reset(token)
