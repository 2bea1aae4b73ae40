"""Look-up of ops, arity, and the avals of structure nodes."""

import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval, BatchDim
from chainrule.ir.builder import Builder
from chainrule.ir.expr import sin
from chainrule.ir.inference import infer, signature_of
from support.written import f4, f8, function, i8

BODY = function({"x": f8(3), "k": i8(), "w": f4()}, lambda x, k, w: {"y": sin(x), "k": k, "w": w})


def avals_of(op: str, *given: Aval, **attrs: object) -> tuple[Aval, ...]:
    b = Builder((BODY,))
    rows = [b.input(f"x{i}", aval) for i, aval in enumerate(given)]
    made = b.add_multi(op, *rows, **{"function": 0, **attrs})  # type: ignore[arg-type]
    return tuple(b.aval(row) for row in made)


PRIMALS = (f8(3), i8(), f4())


def test_call() -> None:
    assert avals_of("Call", *PRIMALS) == (f8(3), i8(), f4())


def test_vjp_adds_a_cotangent_in_for_each_output_and_one_out_for_each_input() -> None:
    got = avals_of("Vjp", *PRIMALS, f4(), f8(3), wrt=(0,), outs=(2, 0))
    assert got == (f8(3), i8(), f4(), f8(3))
    assert avals_of("Vjp", *PRIMALS, f8(3), wrt=(2, 0), outs=(0,))[3:] == (f4(), f8(3))


def test_jvp_adds_a_tangent_in_for_each_input_and_one_out_for_each_output() -> None:
    got = avals_of("Jvp", *PRIMALS, f4(), wrt=(2,), outs=(0, 2))
    assert got == (f8(3), i8(), f4(), f8(3), f4())


def test_vmap_takes_lanes_where_they_are_put_and_gives_them_in_front() -> None:
    given = (f8(3, 5), i8(5), f4())
    assert avals_of("Vmap", *given, in_axes=(1, 0, -1), size=(5,)) == (f8(5, 3), i8(5), f4(5))
    alone = avals_of("Vmap", *PRIMALS, in_axes=(-1, -1, -1), size=(BatchDim(),))
    assert [a.shape[0] for a in alone] == [BatchDim()] * 3


@pytest.mark.parametrize(
    ("op", "given", "attrs", "code", "text"),
    [
        ("Vmap", PRIMALS, {"in_axes": (0, 0, 0), "size": (5,)}, ErrorCode.SHAPE_MISMATCH, "takes"),
        ("Vmap", PRIMALS, {"in_axes": (2, 0, 0), "size": (5,)}, ErrorCode.BAD_AXIS, "axis 2"),
        ("Vmap", PRIMALS, {"in_axes": (0,), "size": (5,)}, ErrorCode.ATTR_RANGE, "with 1 axes"),
        ("Vmap", PRIMALS, {"in_axes": (0, 0, 0), "size": ()}, ErrorCode.ATTR_RANGE, "0 sizes"),
        ("Vmap", PRIMALS, {"in_axes": (-1,) * 3, "size": (-1,)}, ErrorCode.BAD_DIM, "dimension"),
        ("Call", PRIMALS[:2], {}, ErrorCode.SHAPE_MISMATCH, "takes 3 values here, not 2"),
        ("Call", (f8(4), i8(), f4()), {}, ErrorCode.SHAPE_MISMATCH, "value 0 given to main"),
        ("Call", PRIMALS, {"function": 1}, ErrorCode.BAD_REF, "names function 1 of 1"),
        ("Vjp", PRIMALS, {"wrt": (0,), "outs": (0,)}, ErrorCode.SHAPE_MISMATCH, "takes 4 values"),
        (
            "Vjp",
            (*PRIMALS, f4(3)),
            {"wrt": (0,), "outs": (0,)},
            ErrorCode.SHAPE_MISMATCH,
            "value 3 given to main is float32[3], it takes float64[3]",
        ),
        ("Vjp", PRIMALS, {"wrt": (3,), "outs": ()}, ErrorCode.ATTR_RANGE, "position 3 of 3"),
        ("Vjp", PRIMALS, {"wrt": (-1,), "outs": ()}, ErrorCode.ATTR_RANGE, "position -1"),
        ("Vjp", PRIMALS, {"wrt": (0, 0), "outs": ()}, ErrorCode.ATTR_RANGE, "a position twice"),
        ("Vjp", PRIMALS, {"wrt": (1,), "outs": ()}, ErrorCode.NOT_DIFFERENTIABLE, "int64[]"),
        ("Jvp", PRIMALS, {"wrt": (), "outs": (1,)}, ErrorCode.NOT_DIFFERENTIABLE, "position 1"),
        ("Jvp", PRIMALS, {"wrt": (), "outs": (3,)}, ErrorCode.ATTR_RANGE, "outs of Jvp"),
    ],
)
def test_refusal(
    op: str, given: tuple[Aval, ...], attrs: dict[str, object], code: ErrorCode, text: str
) -> None:
    with pytest.raises(ChainruleError) as caught:
        avals_of(op, *given, **attrs)
    assert caught.value.code is code
    assert text in str(caught.value)


def test_arity() -> None:
    with pytest.raises(ChainruleError, match="Sin takes 1 inputs, not 0") as caught:
        infer(signature_of("Sin", {}), (), (), ())
    assert caught.value.code is ErrorCode.BAD_REF


@pytest.mark.parametrize(
    ("op", "cure"),
    [
        ("sin", "did you mean Sin?"),
        ("__class__", "GetInfo lists the known ones"),
        ("", "GetInfo lists the known ones"),
        ("x" * 10**6, "GetInfo lists the known ones"),
    ],
)
def test_an_unknown_op_has_a_short_text_and_a_cure(op: str, cure: str) -> None:
    with pytest.raises(ChainruleError) as caught:
        signature_of(op, {})
    assert caught.value.code is ErrorCode.UNKNOWN_OP
    assert caught.value.cure == cure
    assert len(str(caught.value)) < 200
