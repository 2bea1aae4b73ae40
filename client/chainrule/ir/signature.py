"""The shared half of an op: name, arity, attributes and the shape rule."""

from collections.abc import Callable
from dataclasses import dataclass

from chainrule.ir.attrs import AttrSpec, AttrValue
from chainrule.ir.avals import Aval

Infer = Callable[[tuple[Aval, ...], dict[str, AttrValue]], tuple[Aval, ...]]


@dataclass(frozen=True, slots=True)
class Signature:
    """What both sides know of a primitive or library function.

    Attributes:
        name: as on the wire; ONNX's name where ONNX has the op, else the array API's.
        arity: the number of inputs; None for one or more.
        attrs: its attributes.
        infer: input avals and attributes to output avals; raises ShapeMismatch. It allocates
            nothing that grows with the dimensions.
        numpy: the NumPy names that trace to it.
    """

    name: str
    arity: int | None
    attrs: tuple[AttrSpec, ...]
    infer: Infer
    numpy: tuple[str, ...] = ()
