"""A function that is traced and registered once, in the forms that optimisers want."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.gradients import Answer, Gradients, grad_wish, value_wish
from chainrule.options import Options
from chainrule.prepared import Function, Prepared, Wrt, owned, prepare
from chainrule.tracing import Graph
from chainrule.wire.records import Computation, Wish

Signature = tuple[object, ...]


class Bound:
    """`client.bind(f)`: `value`, `grad`, `value_and_grad`, `hvp` as functions of f's arguments.

    They fit `scipy.optimize.minimize(g.value_and_grad, x0, jac=True)` as they are, and
    `minimize(g.value, x0, jac=g.grad, hessp=g.hvp)`. Arguments of other shapes or dtypes are traced anew.
    A function that was changed, or closes over what was, needs a new `bind`.
    """

    def __init__(
        self,
        gradients: Gradients,
        f: Function,
        *,
        wrt: Wrt,
        batch: Wrt,
        has_aux: bool,
        kwargs: Mapping[str, Any] | None,
        options: Options,
    ) -> None:
        self._gradients = gradients
        self._f = f
        self._wrt, self._batch, self._has_aux = wrt, batch, has_aux
        self._kwargs = dict(kwargs or {})
        self._options = options
        self._lock = threading.Lock()
        self._graphs: dict[Signature, tuple[Graph, bytes]] = {}

    def __repr__(self) -> str:
        name = getattr(self._f, "__name__", None) or repr(self._f)
        return f"<Bound {name}, {len(self._graphs)} graphs registered>"

    def value(self, *args: Any) -> Any:
        """f(*args)."""
        prepared, digest = self._prepared(args)
        answer = self._compute(prepared, (value_wish(),), digest)
        return valued(prepared, answer.results[0])

    def grad(self, *args: Any) -> Any:
        """The gradient."""
        prepared, digest = self._prepared(args)
        answer = self._compute(prepared, (grad_wish(prepared, self._wrt),), digest)
        return graded(prepared, self._wrt, answer.results[0])

    def value_and_grad(self, *args: Any) -> tuple[Any, Any]:
        """Both, in one call: (value, gradient), with has_aux ((value, aux), gradient)."""
        prepared, digest = self._prepared(args)
        wishes = (value_wish(), grad_wish(prepared, self._wrt))
        answer = self._compute(prepared, wishes, digest)
        return valued(prepared, answer.results[0]), graded(prepared, self._wrt, answer.results[1])

    def hvp(self, x: Any, vector: Any, *args: Any) -> Any:
        """The Hessian at (x, *args) times a vector, the one argument after the first."""
        prepared, digest = self._prepared((x, *args))
        names = prepared.wrt_names(self._wrt)
        directions = prepared.directions(names, self._wrt, vector, "vectors")
        wish = Wish(Computation.HVP, names, (prepared.scalar_out(),), directions)
        answer = self._compute(prepared, (wish,), digest)
        return graded(prepared, self._wrt, answer.results[0])

    def _prepared(self, args: tuple[Any, ...]) -> tuple[Prepared, bytes]:
        batched = (self._batch,) if isinstance(self._batch, int) else tuple(self._batch)
        signature = tuple(_signature(arg, i in batched) for i, arg in enumerate(args))
        with self._lock:
            known = self._graphs.get(signature)
        source: Function = known[0] if known else self._f
        prepared = prepare(
            source,
            args,
            kwargs=self._kwargs,
            batch=() if known else self._batch,
            has_aux=self._has_aux,
        )
        if known is not None:
            return prepared, known[1]
        digest = self._gradients.register(prepared.graph, self._options.timeout_s)
        with self._lock:
            self._graphs[signature] = (prepared.graph, digest)
        return prepared, digest

    def _compute(self, prepared: Prepared, wishes: tuple[Wish, ...], digest: bytes) -> Answer:
        return self._gradients.compute(prepared, wishes, self._options, digest)

    def with_options(self, **changes: Any) -> "Bound":
        """The same function with another timeout_s, max_bytes or seed."""
        return Bound(
            self._gradients,
            self._f,
            wrt=self._wrt,
            batch=self._batch,
            has_aux=self._has_aux,
            kwargs=self._kwargs,
            options=replace(self._options, **changes),
        )


def valued(prepared: Prepared, arrays: Mapping[str, Any]) -> Any:
    """Outputs by name, with the structure of the value."""
    return prepared.valued({n: owned(a) for n, a in arrays.items()})


def graded(prepared: Prepared, wrt: Wrt, arrays: Mapping[str, Any]) -> Any:
    """Arrays by input name, shaped as the arguments in wrt."""
    return prepared.shaped(wrt, {n: owned(a) for n, a in arrays.items()})


def _signature(arg: Any, batched: bool) -> Signature:
    """Structure, dtypes and shapes of an argument; of a batched one the leading axis doesn't matter."""
    if isinstance(arg, dict):
        return ("dict", *((k, _signature(arg[k], batched)) for k in sorted(arg)))
    if isinstance(arg, list | tuple):
        return (type(arg).__name__, *(_signature(item, batched) for item in arg))
    if arg is None or isinstance(arg, str | bool) or _is_function(arg):
        return ("static", arg)
    array = np.asarray(arg)
    return (array.dtype.str, array.ndim, array.shape[1:] if batched else array.shape)


def _is_function(value: Any) -> bool:
    kind: Callable[[Any], bool] = callable
    return kind(value) and not hasattr(value, "shape")
