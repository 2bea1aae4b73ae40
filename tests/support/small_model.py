"""A linear model with momentum, as graphs, and an engine of one formula that steps it in this process.

The formula is checked against the real engine in tests/server/test_sessions.py; everything else about
sessions can then be tested without processes.
"""

import mmap
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from chainrule.errors import Cancelled, ChainruleError
from chainrule.ir import canonical
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, cast, reduce_sum
from chainrule.ir.graph import Graph
from chainrule.ir.tensors import Array
from chainrule_server.engine.program import Place, Port
from chainrule_server.workers.cancellation import Cancellation
from chainrule_server.workers.interfaces import StateRegions

F8 = DType.FLOAT64
W, B, SEEN = "params/w", "params/b", "buffers/seen"
VW, VB = "state/w", "state/b"
GW, GB = "grads/w", "grads/b"
RATE, MOMENTUM = 0.05, 0.9


def graph_of(b: Builder, outputs: Mapping[str, Expr]) -> Graph:
    return Graph((b.finish([e.id for e in outputs.values()], list(outputs)),))


def _in(b: Builder, name: str, *shape: int | BatchDim) -> Expr:
    return Expr(b, b.input(name, Aval(F8, shape)))


def loss_graph(scale: float = 1.0) -> Graph:
    """scale * mean((x @ w + b - y)^2), buffers/seen + 1, and the sum of squares as a metric."""
    b = Builder()
    w, bias, seen = _in(b, W, 3, 1), _in(b, B), _in(b, SEEN)
    x, y = _in(b, "batch/0", BatchDim(), 3), _in(b, "batch/1", BatchDim(), 1)
    squares = reduce_sum((x @ w + bias - y) ** 2, (0, 1))
    n = Expr(b, b.add("DimSize", k=1))
    loss = squares * scale / cast(n, F8)
    return graph_of(b, {"loss": loss, SEEN: seen + 1.0, "metrics/squares": squares})


def predict_graph() -> Graph:
    b = Builder()
    w, bias, x = _in(b, W, 3, 1), _in(b, B), _in(b, "batch/0", BatchDim(), 3)
    return graph_of(b, {"out": x @ w + bias})


def init_graph() -> Graph:
    b = Builder()
    w, bias = _in(b, W, 3, 1), _in(b, B)
    return graph_of(b, {"state/b": bias * 0.0, "state/w": w * 0.0})


def update_graph() -> Graph:
    """v' = 0.9 v + g, update = -0.05 v'."""
    b = Builder()
    grads = {k: _in(b, f"grads/{k}", *s) for k, s in (("b", ()), ("w", (3, 1)))}
    state = {k: _in(b, f"state/{k}", *s) for k, s in (("b", ()), ("w", (3, 1)))}
    new = {k: state[k] * MOMENTUM + grads[k] for k in grads}
    outputs = {f"updates/{k}": v * -RATE for k, v in new.items()}
    return graph_of(b, outputs | {f"state/{k}": v for k, v in new.items()})


@dataclass(frozen=True)
class SmallProgram:
    kind: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    places: Mapping[str, int]
    scale: float = 1.0
    notices: tuple[()] = ()

    def rows_at(self, n: int) -> int:
        return 0


@dataclass(frozen=True)
class Stats:
    wall_s: float = 0.0
    cpu_s: float = 0.0
    flops: int = 1
    peak_bytes: int = 1
    workers_used: int = 1
    redone: int = 0


@dataclass(frozen=True)
class Result:
    outputs: Mapping[str, Array]
    stats: Stats = field(default_factory=Stats)


class SmallEngine:
    """Compiler and runner. `before_run` is called in every step and evaluation of the loss,
    after the write and before the return."""

    numerics_id = b"small" + bytes(27)

    def __init__(self) -> None:
        self.runs = 0
        self.cancel: Cancellation | None = None
        self.before_run: Callable[[], None] = lambda: None
        self.failure: ChainruleError | None = None
        self.forgotten: list[bytes] = []
        self._lock = threading.Lock()

    def compile_step(
        self, loss: Graph, update: Graph, *, places: Mapping[str, int], microshard_rows: int
    ) -> SmallProgram:
        new = tuple(Port(n, Aval(F8), Place(2, places[n]), n) for n in (W, B, SEEN, VW, VB))
        # The only graphs are loss_graph(scale); its constant tells them apart.
        scale = loss_scale(loss)
        return SmallProgram("step", _ports(loss, places), new, places, scale)

    def compile_gradients(
        self, loss: Graph, update: Graph, *, places: Mapping[str, int], microshard_rows: int
    ) -> SmallProgram:
        new = tuple(Port(n, Aval(F8), Place(2, places[n]), n) for n in (SEEN, GW, GB))
        return SmallProgram("gradients", _ports(loss, places), new, places, loss_scale(loss))

    def compile_update(self, update: Graph, *, places: Mapping[str, int]) -> SmallProgram:
        new = tuple(Port(n, Aval(F8), Place(2, places[n]), n) for n in (W, B, VW, VB))
        return SmallProgram("update", _ports(update, places), new, places)

    def compile_forward(
        self, graph: Graph, *, places: Mapping[str, int], microshard_rows: int
    ) -> SmallProgram:
        kind = "predict" if "out" in graph.main.output_names else "loss"
        kind = "init" if "state/w" in graph.main.output_names else kind
        return SmallProgram(kind, _ports(graph, places), (), places)

    def run(
        self,
        program: SmallProgram,
        n: int,
        feeds: Mapping[str, Array],
        *,
        state: StateRegions | None,
        deadline: float,
        cancel: Cancellation | None,
    ) -> Result:
        with self._lock:
            self.runs += 1
        with np.errstate(all="ignore"):
            # As a board does: what is mapped from an object isn't aligned, and alignment moves bits.
            return self._run(program, n, {k: v.copy() for k, v in feeds.items()}, state, cancel)

    def _run(
        self,
        program: SmallProgram,
        n: int,
        feeds: Mapping[str, Array],
        state: StateRegions | None,
        cancel: Cancellation | None,
    ) -> Result:
        if program.kind == "init":
            return Result({"state/w": feeds[W] * 0.0, "state/b": feeds[B] * 0.0})
        assert state is not None
        values = self._read(program, state)
        if program.kind == "update":
            total = feeds["total"]
            return self._update(program, state, values, values[GW] / total, values[GB] / total)
        x = feeds["batch/0"]
        predicted = x @ values[W] + values[B]
        if program.kind == "predict":
            return Result({"out": predicted})
        residual = predicted - feeds["batch/1"]
        squares = np.sum(residual**2)
        loss = squares * program.scale / n
        if program.kind == "loss":
            self._pause(cancel)
            return Result({"loss": loss, SEEN: values[SEEN] + 1.0, "metrics/squares": squares})
        grad_w = 2 * program.scale / n * (x.T @ residual)
        grad_b = 2 * program.scale / n * np.sum(residual)
        seen = {SEEN: values[SEEN] + 1.0}
        if program.kind == "gradients":
            share, keep = feeds["weight"], feeds["keep"]
            sums = {GW: share * grad_w, GB: share * grad_b}
            sums = {k: values[k] + v if keep else v for k, v in sums.items()}
            self._write(program, state, seen | sums)
            result = Result(_norms(grad_w, grad_b))
        else:
            result = self._update(program, state, values | seen, grad_w, grad_b)
        self._pause(cancel)
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        found = {"loss": np.asarray(loss), "metrics/squares": np.asarray(squares)}
        return Result(found | dict(result.outputs))

    def _update(
        self,
        program: SmallProgram,
        state: StateRegions,
        values: Mapping[str, Array],
        grad_w: Array,
        grad_b: Array,
    ) -> Result:
        """Momentum; leaves that the program doesn't write stay."""
        new_vw = MOMENTUM * values["state/w"] + grad_w
        new_vb = MOMENTUM * values["state/b"] + grad_b
        new = {W: values[W] - RATE * new_vw, B: values[B] - RATE * new_vb, VW: new_vw, VB: new_vb}
        written = {port.name for port in program.outputs}
        self._write(program, state, {SEEN: values[SEEN], **new} if SEEN in written else new)
        return Result(_norms(grad_w, grad_b))

    def _pause(self, cancel: Cancellation | None) -> None:
        self.cancel = cancel
        self.before_run()
        if cancel is not None and cancel.is_set:
            raise Cancelled("the run was stopped")

    def forget(self, key: bytes) -> None:
        self.forgotten.append(key)

    def _read(self, program: SmallProgram, state: StateRegions) -> dict[str, Array]:
        shapes = {W: (3, 1), VW: (3, 1), GW: (3, 1)}
        with mmap.mmap(
            state.read_fd, state.nbytes, prot=mmap.PROT_READ, offset=state.read_offset
        ) as data:
            return {
                name: np.frombuffer(data, "<f8", int(np.prod(shapes.get(name, ()))), at)
                .reshape(shapes.get(name, ()))
                .copy()
                for name, at in program.places.items()
            }

    def _write(self, program: SmallProgram, state: StateRegions, new: Mapping[str, Array]) -> None:
        with mmap.mmap(state.write_fd, state.nbytes, offset=state.write_offset) as data:
            for name, value in new.items():
                at = program.places[name]
                raw = np.asarray(value, "<f8").tobytes()
                data[at : at + len(raw)] = raw


def _norms(grad_w: Array, grad_b: Array) -> dict[str, Array]:
    norms = {"grad_norm/w": np.sqrt(np.sum(grad_w**2)), "grad_norm/b": np.abs(grad_b)}
    norm = np.sqrt(sum(v**2 for v in norms.values()))
    return {k: np.asarray(v) for k, v in {"grad_norm": norm, **norms}.items()}


def loss_scale(loss: Graph) -> float:
    """The constant that `loss_graph` was made with."""
    for scale in (1.0, 2.0, 3.0):
        if canonical.digest(loss) == canonical.digest(loss_graph(scale)):
            return scale
    raise AssertionError("not a graph of loss_graph")


def _ports(graph: Graph, places: Mapping[str, int]) -> tuple[Port, ...]:
    pairs = zip(graph.main.input_names, graph.main.in_avals, strict=True)
    return tuple(
        Port(name, aval, Place(1, places[name]) if name in places else Place(), name)
        for name, aval in pairs
    )
