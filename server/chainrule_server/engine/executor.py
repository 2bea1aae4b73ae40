"""plan x arrays -> a list of thunks, and the loop that calls them. Nothing is decided here."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from chainrule.errors import ChainruleError, ErrorCode, LimitExceeded, NumericError
from chainrule.ir.avals import Aval
from chainrule.ir.builder import constant_array
from chainrule_server.engine.arena import aligned
from chainrule_server.engine.loops.cost import items_of, loop_avals
from chainrule_server.engine.loops.run import bind_loop
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.ops.table import Array, Thunk
from chainrule_server.engine.plan import Plan

# Below this many operations a kernel is no place to look for a hang.
_HEAVY = 1_000_000


def aligned_bytes(nbytes: int) -> Array:
    """Uninitialised memory whose first byte starts a cache line."""
    raw = np.empty(nbytes + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes]


class Instance:
    """A plan bound to memory, to be run many times.

    Args:
        plan: what to run.
        inputs: one array an input, C-contiguous; the same memory at every run.
        outputs: one array an output; filled by every run.
        progress: called after heavy kernels, so that a hang can be told from a long computation.
        memory: at least `plan.arena_bytes` aligned bytes; instances that run one at a time may share it.
    """

    def __init__(
        self,
        plan: Plan,
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        progress: Callable[[], None] | None = None,
        memory: Array | None = None,
    ) -> None:
        self.plan = plan
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self._memory = aligned_bytes(plan.arena_bytes) if memory is None else memory
        self._arrays = self._arrange()
        self._thunks, self._rows = self._bind(progress)

    def run(self) -> None:
        """Fill the outputs from the inputs.

        Raises:
            NumericError: a kernel found a value that it can't compute with; names node and line by row.
            LimitExceeded: memory ran out inside a kernel (COST_BYTES_ACTUAL).
        """
        at = 0
        try:
            with np.errstate(all="ignore"):
                for at, thunk in enumerate(self._thunks):  # noqa: B007 - read by the handler
                    thunk()
        except ChainruleError as error:
            error.node = self._rows[at]
            error.label = error.label or self.plan.function.ops[self._rows[at]]
            raise
        except MemoryError as error:
            raise LimitExceeded(
                "memory ran out",
                code=ErrorCode.COST_BYTES_ACTUAL,
                node=self._rows[at],
                label=self.plan.function.ops[self._rows[at]],
                cure="use a smaller batch",
            ) from error
        except (ArithmeticError, ValueError, IndexError, np.linalg.LinAlgError) as error:
            raise NumericError(
                f"can't be computed: {type(error).__name__}",
                code=ErrorCode.NUMERIC_FAILURE,
                node=self._rows[at],
                label=self.plan.function.ops[self._rows[at]],
            ) from error

    def value(self, row: int) -> Array:
        """The array of a row, for explanations; meaningful only where the plan keeps it."""
        found = self._arrays[row]
        if found is None:
            raise KeyError(row)
        return found

    def _arrange(self) -> list[Array | None]:
        function = self.plan.function
        arrays: list[Array | None] = [None] * len(function)
        for row, home in enumerate(self.plan.homes):
            if home is None:
                continue
            aval = function.avals[row]
            if home.kind == "input":
                arrays[row] = self.inputs[home.at]
            elif home.kind == "output":
                arrays[row] = self.outputs[home.at]
            elif home.kind == "leaf":
                arrays[row] = _leaf(self.plan, row)
            elif home.kind == "arena":
                flat = self._memory[home.at : home.at + aval.nbytes]
                arrays[row] = flat.view(aval.dtype.numpy).reshape(aval.dims)
            else:
                view = OPS[function.ops[row]].view
                source = arrays[home.at]
                assert view is not None and source is not None
                arrays[row] = view(source, dict(function.attrs[row]), aval.dims)
        return arrays

    def _bind(
        self, progress: Callable[[], None] | None
    ) -> tuple[tuple[Thunk, ...], tuple[int, ...]]:
        function = self.plan.function
        thunks: list[Thunk] = []
        rows: list[int] = []
        for row in self.plan.order:
            ins = tuple(self._array(i) for i in function.inputs[row])
            attrs = dict(function.attrs[row])
            if row in self.plan.nested:
                outs = self._outputs_of(row)
                bodies = [_own(plan, progress) for plan in self.plan.nested[row]]
                thunks.append(bind_loop(function.ops[row], ins, outs, attrs, bodies))
                rows.append(row)
                continue
            op = OPS[function.ops[row]]
            assert op.bind is not None
            thunks.append(op.bind(ins, self._array(row), attrs))
            rows.append(row)
            avals = tuple(function.avals[i] for i in function.inputs[row])
            if progress is not None and op.cost(avals, function.avals[row], attrs) > _HEAVY:
                thunks.append(progress)
                rows.append(row)
        for k, row in self.plan.copies:
            thunks.append(partial(np.copyto, self.outputs[k], self._array(row)))
            rows.append(row)
        return tuple(thunks), tuple(rows)

    def _outputs_of(self, row: int) -> list[Array]:
        """The results of a loop; those that nothing reads have memory of their own."""
        plans = self.plan.nested[row]
        avals = loop_avals(self.plan.function, row, plans)
        outs: list[Array] = [np.empty(a.dims, a.dtype.numpy) for a in avals]
        outs[0] = self._array(row)
        for item in items_of(self.plan.function).get(row, ()):
            index = self.plan.function.attrs[item][0][1]
            assert isinstance(index, int)
            outs[index] = self._array(item)
        return outs

    def _array(self, row: int) -> Array:
        found = self._arrays[row]
        assert found is not None
        return found


def _own(plan: Plan, progress: Callable[[], None] | None) -> Instance:
    """A body with buffers of its own for everything that enters and leaves."""
    inputs = [_buffer(a) for a in plan.function.in_avals]
    outputs = [_buffer(a) for a in plan.function.out_avals]
    return Instance(plan, inputs, outputs, progress)


def _buffer(aval: Aval) -> Array:
    return aligned_bytes(aval.nbytes).view(aval.dtype.numpy).reshape(aval.dims)


def _leaf(plan: Plan, row: int) -> Array:
    """A constant or an Iota: written once, at binding."""
    function = plan.function
    aval, attrs = function.avals[row], dict(function.attrs[row])
    if function.ops[row] == "Constant":
        data = attrs["data"]
        assert isinstance(data, bytes)
        value = constant_array(aval, data, 1)
        if value.size <= 1 or 0 not in value.strides:
            return _owned(value)
        # One aligned element read with stride 0.
        return np.broadcast_to(_owned(np.frombuffer(data, aval.dtype.numpy)), aval.dims)
    axis = attrs["axis"]
    assert isinstance(axis, int)
    axis %= aval.rank
    index = np.arange(aval.dims[axis], dtype=aval.dtype.numpy)
    shape = [1] * aval.rank
    shape[axis] = -1
    return _owned(np.broadcast_to(index.reshape(shape), aval.dims))


def _owned(value: Array) -> Array:
    out = (
        aligned_bytes(aligned(value.nbytes))[: value.nbytes].view(value.dtype).reshape(value.shape)
    )
    np.copyto(out, value)
    return out


def evaluate(plan: Plan, inputs: Sequence[Array]) -> list[Array]:
    """Bind, run once, give the outputs: for tests, explanations and small constant work."""
    outputs = [np.empty(a.dims, a.dtype.numpy) for a in plan.function.out_avals]
    Instance(plan, inputs, outputs).run()
    return outputs
