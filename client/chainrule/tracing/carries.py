"""Values that a body gives back in the shape it took them: a loop's carry, a fixed point's state."""

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.errors import ErrorCode, ShapeMismatch
from chainrule.ir.avals import Aval, DType
from chainrule.tracing.bodies import Body, Slot, call_body
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.operands import as_tracer, tape_now, typed
from chainrule.tracing.promotion import Typed, promote
from chainrule.tracing.refusals import refuse
from chainrule.tracing.source import user_source
from chainrule.tracing.tracer import Tracer


class _Widen(Exception):
    """The body gives a carry in a wider dtype than a scalar came in with."""

    def __init__(self, dtypes: list[DType]) -> None:
        self.dtypes = dtypes


class Carry:
    """A tree that goes round.

    Args:
        tree: what the first step takes. Python scalars take the dtype that the body makes of them.
        what: its name in errors.
        only_float: integers become float64.

    Attributes:
        values: its leaves, in the dtype of the body once that is traced.
    """

    def __init__(self, tree: Any, what: str, only_float: bool = False) -> None:
        self.tree = tree
        self.what = what
        self.names = [name for name, _ in leaves_of(tree, what)]
        self.values = [as_tracer(leaf) for _, leaf in leaves_of(tree, what)]
        if only_float:
            self.values = [
                t if t.aval.dtype.is_float else as_tracer(t, DType.FLOAT64) for t in self.values
            ]

    def body(
        self,
        step: Callable[..., Any],
        others: Sequence[Any] = (),
        parts: Callable[[Any], tuple[Any, Callable[[Any], Any]]] = lambda out: (out, lambda c: c),
        counted: bool = False,
    ) -> Body:
        """The body of a step, traced so that the carry keeps its shape and dtype.

        Args:
            step: called with the carry and others.
            others: further arguments, trees with slots.
            parts: takes what step returns apart: the carry, and how to put it back.
            counted: whether the number of the step is a last input, for random numbers.

        Raises:
            TraceError: the carry comes back with another structure.
            ShapeMismatch: a leaf comes back in another shape or dtype; names it.
        """

        def checked(carry: Any, *rest: Any) -> Any:
            if counted:
                tape_now().step = rest[-1].row
                rest = rest[:-1]
            out, put = parts(step(carry, *rest))
            return put(rebuild(out, self._alike(out)))

        checked.__name__ = getattr(step, "__name__", "step")
        root = tape_now().root
        while True:
            mark = len(root.bodies)
            slots = [Slot(t.aval, t.weak) for t in self.values]
            number = (Slot(Aval(DType.INT64, ())),) if counted else ()
            try:
                return call_body(checked, (rebuild(self.tree, slots), *others, *number), {})
            except _Widen as wider:
                # The attempt is forgotten, with the bodies inside it: its rows are on no tape that is kept.
                del root.bodies[mark:]
                self.values = [
                    as_tracer(t, d) for t, d in zip(self.values, wider.dtypes, strict=True)
                ]

    def _alike(self, out: Any) -> list[Tracer]:
        named = leaves_of(out, self.what)
        if [name for name, _ in named] != self.names:
            raise refuse(
                f"the {self.what} goes in with leaves {_listed(self.names)} and comes out with "
                f"{_listed([name for name, _ in named])}",
                "give it back with the structure it came in",
            )
        found: list[Tracer] = []
        kinds: list[DType] = []
        for (name, leaf), value in zip(named, self.values, strict=True):
            given = as_tracer(leaf)
            kind = promote([Typed(value.aval.dtype, value.weak), typed(leaf)]).dtype
            if given.aval.shape != value.aval.shape:
                raise self._unlike(name, value.aval, given.aval)
            if kind is not value.aval.dtype and not value.weak:
                raise self._unlike(name, value.aval, given.aval)
            kinds.append(kind)
            found.append(as_tracer(given, kind))
        if any(k is not v.aval.dtype for k, v in zip(kinds, self.values, strict=True)):
            raise _Widen(kinds)
        return found

    def _unlike(self, name: str, before: Aval, after: Aval) -> ShapeMismatch:
        return ShapeMismatch(
            f"{name} goes in as {before} and comes out as {after}",
            code=ErrorCode.SHAPE_MISMATCH,
            line=user_source().text or None,
            cure="give it back in the shape and dtype it came in, or begin with those of the result",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "none"
