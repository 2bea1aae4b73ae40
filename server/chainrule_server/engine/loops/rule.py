"""What the derivative of a structure node consists of."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, zeros
from chainrule_server.engine.flat import Flat

AttrMap = dict[str, AttrValue]


class Derive(Protocol):
    """The derivatives of a function; handed to rules, since a derivative of a loop takes one of its body."""

    def vjp(self, flat: Flat, wrt: Sequence[int], outs: Sequence[int]) -> Flat:
        """As `autodiff.vjp`."""

    def jvp(self, flat: Flat, wrt: Sequence[int], outs: Sequence[int]) -> Flat:
        """As `autodiff.jvp`."""


class Node(NamedTuple):
    """A structure node where it is differentiated.

    Attributes:
        attrs: its attributes; functions are indices into `flat.bodies`.
        flat: the function it stands in.
        operands: in the builder.
        active: per operand, whether a derivative is wanted for it.
    """

    attrs: AttrMap
    flat: Flat
    operands: tuple[Expr, ...]
    active: tuple[bool, ...]

    def body(self, name: str = "function") -> Flat:
        """The function that an attribute names."""
        index = self.attrs[name]
        assert isinstance(index, int)
        return self.flat.body(index)


class Rule(Protocol):
    """The derivative of one structure op."""

    def forward(self, b: Builder, node: Node, derive: Derive) -> tuple[tuple[int, ...], object]:
        """Emit the node so that it can be differentiated: its outputs, and what `vjp` needs of the inside."""

    def vjp(
        self,
        b: Builder,
        node: Node,
        outputs: tuple[int, ...],
        inside: object,
        cts: Sequence[Expr | None],
        derive: Derive,
    ) -> list[Expr | None]:
        """One cotangent an operand, from one an output."""

    def jvp(
        self, b: Builder, node: Node, tangents: Sequence[Expr | None], derive: Derive
    ) -> tuple[tuple[int, ...], list[Expr | None]]:
        """Outputs, and one tangent an output."""


def filled(b: Builder, values: Sequence[Expr | None], like: Sequence[Expr]) -> list[Expr]:
    """Zeros in place of None."""
    return [zeros(b, e.aval) if v is None else v for v, e in zip(values, like, strict=True)]


def exprs(b: Builder, rows: Sequence[int]) -> list[Expr]:
    """Handles on rows."""
    return [Expr(b, row) for row in rows]


def ids(values: Sequence[Expr]) -> list[int]:
    """Rows of handles."""
    return [v.id for v in values]


def float_positions(avals: Sequence[Aval], active: Sequence[bool] | None = None) -> tuple[int, ...]:
    """Positions of floating-point values, of those that are active where told."""
    chosen = active or (True,) * len(avals)
    return tuple(
        i
        for i, (aval, on) in enumerate(zip(avals, chosen, strict=True))
        if on and aval.dtype.is_float
    )
