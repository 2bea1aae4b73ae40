"""The vocabulary: one row a primitive, the half of an op that client and server share.

What an op means (kernel, derivatives, cost) stands in the server's engine/ops; a test holds the two
sets of names equal. The set is closed under differentiation: every rule is written in these names.
"""

from chainrule.ir import linalg, movement, rules, windows
from chainrule.ir.attrs import AttrSpec
from chainrule.ir.avals import DType
from chainrule.ir.signature import Infer, Signature


def _op(
    name: str, arity: int | None, infer: Infer, *attrs: AttrSpec, numpy: tuple[str, ...] = ()
) -> Signature:
    return Signature(name, arity, attrs, infer, numpy)


_AXES = (AttrSpec("axes", "ints"), AttrSpec("keepdims", "bool", False))
_SHAPE = AttrSpec("shape", "dims")
_DTYPE = AttrSpec("dtype", "dtype")
_FUNCTION = AttrSpec("function", "function", low=0)
_GATHER = (AttrSpec("axis", "int"), AttrSpec("batch_dims", "int", 0, low=0))

_LEAVES = (
    _op("Input", 0, rules.no_rule, AttrSpec("name", "str")),
    _op("Item", 1, rules.no_rule, AttrSpec("index", "int", low=1)),
    _op("Constant", 0, rules.constant, _DTYPE, _SHAPE, AttrSpec("data", "bytes")),
    _op("Iota", 0, rules.iota, _DTYPE, _SHAPE, AttrSpec("axis", "int")),
    _op("DimSize", 0, rules.dim_size, AttrSpec("k", "int", 1, low=1, high=2**31)),
    _op("RandomBits", 2, rules.random_bits, AttrSpec("stream", "int", 0, low=0, high=2**31)),
)

_FLOAT = (
    _op("Neg", 1, rules.unary("number"), numpy=("negative",)),
    _op("Abs", 1, rules.unary("number"), numpy=("absolute", "fabs")),
    _op("Sign", 1, rules.unary("number"), numpy=("sign",)),
    _op("Exp", 1, rules.unary("float"), numpy=("exp",)),
    _op("Expm1", 1, rules.unary("float"), numpy=("expm1",)),
    _op("Log", 1, rules.unary("float"), numpy=("log",)),
    _op("Log1p", 1, rules.unary("float"), numpy=("log1p",)),
    _op("Sqrt", 1, rules.unary("float"), numpy=("sqrt",)),
    _op("Sin", 1, rules.unary("float"), numpy=("sin",)),
    _op("Cos", 1, rules.unary("float"), numpy=("cos",)),
    _op("Tanh", 1, rules.unary("float"), numpy=("tanh",)),
    _op("Atan2", 2, rules.binary("float"), numpy=("arctan2",)),
    _op("Erf", 1, rules.unary("float")),
    _op("ErfInv", 1, rules.unary("float")),
    _op("Lgamma", 1, rules.unary("float")),
    _op("Polygamma", 1, rules.unary("float"), AttrSpec("n", "int", low=0, high=150)),
    _op("Floor", 1, rules.unary("float"), numpy=("floor",)),
    _op("Round", 1, rules.unary("float"), numpy=("rint",)),
    _op("Add", 2, rules.binary("number"), numpy=("add",)),
    _op("Sub", 2, rules.binary("number"), numpy=("subtract",)),
    _op("Mul", 2, rules.binary("number"), numpy=("multiply",)),
    _op("Div", 2, rules.binary("float"), numpy=("divide", "true_divide")),
    _op("Pow", 2, rules.binary("float"), numpy=("power", "float_power")),
    _op("IntPow", 1, rules.unary("number"), AttrSpec("n", "int", low=-1024, high=1024)),
    _op("Max", 2, rules.binary("number"), numpy=("maximum",)),
    _op("Min", 2, rules.binary("number"), numpy=("minimum",)),
)

_LOGIC = (
    _op("Less", 2, rules.binary("number", DType.BOOL), numpy=("less", "greater")),
    _op("Equal", 2, rules.binary("any", DType.BOOL), numpy=("equal",)),
    _op("And", 2, rules.binary("bits"), numpy=("logical_and", "bitwise_and")),
    _op("Or", 2, rules.binary("bits"), numpy=("logical_or", "bitwise_or")),
    _op("Xor", 2, rules.binary("bits"), numpy=("logical_xor", "bitwise_xor")),
    _op("Not", 1, rules.unary("bool"), numpy=("logical_not",)),
    _op("IntDiv", 2, rules.binary("integer"), numpy=("floor_divide",)),
    _op("Mod", 2, rules.binary("integer"), numpy=("remainder", "mod")),
    _op("Where", 3, rules.where, numpy=("where",)),
    _op("Cast", 1, rules.to_dtype, _DTYPE, numpy=("astype",)),
    _op("IsFinite", 1, rules.predicate, numpy=("isfinite",)),
)

_MOVEMENT = (
    _op("Reshape", 1, movement.reshape, _SHAPE, numpy=("reshape", "ravel", "squeeze")),
    _op("Transpose", 1, movement.transpose, AttrSpec("perm", "ints"), numpy=("transpose",)),
    _op("Expand", 1, movement.expand, _SHAPE, numpy=("broadcast_to",)),
    _op(
        "Slice",
        1,
        movement.slice_,
        AttrSpec("starts", "dims"),
        AttrSpec("stops", "dims"),
        AttrSpec("steps", "ints"),
    ),
    _op("Flip", 1, movement.flip, AttrSpec("axes", "ints"), numpy=("flip",)),
    _op(
        "Pad",
        1,
        movement.pad,
        AttrSpec("low", "dims"),
        AttrSpec("high", "dims"),
        AttrSpec("interior", "ints"),
        numpy=("pad",),
    ),
    _op("Concat", None, movement.concat, AttrSpec("axis", "int"), numpy=("concatenate",)),
)

_CONTRACTION = (
    _op("MatMul", 2, rules.matmul, numpy=("matmul", "dot")),
    _op("ReduceSum", 1, rules.reduction("number", empty=True), *_AXES, numpy=("sum",)),
    _op("ReduceMax", 1, rules.reduction("number", empty=False), *_AXES, numpy=("max", "amax")),
    _op("ArgMax", 1, rules.arg_max, AttrSpec("axis", "int"), numpy=("argmax",)),
    _op("Gather", 2, rules.gather, *_GATHER, numpy=("take",)),
    _op("ScatterAdd", 2, rules.scatter_add, *_GATHER, AttrSpec("size", "dims")),
)

_WINDOW = (
    AttrSpec("axes", "ints"),
    AttrSpec("sizes", "ints"),
    AttrSpec("strides", "ints"),
    AttrSpec("dilations", "ints"),
)

_ALONG = (
    _op("ArgSort", 1, windows.arg_sort, AttrSpec("axis", "int"), numpy=("argsort",)),
    _op(
        "CumSum",
        1,
        windows.cum_sum,
        AttrSpec("axis", "int"),
        AttrSpec("reverse", "bool", False),
        AttrSpec("exclusive", "bool", False),
        numpy=("cumsum",),
    ),
    _op("Unfold", 1, windows.unfold, *_WINDOW, numpy=("lib.stride_tricks.sliding_window_view",)),
    _op("Fold", 1, windows.fold, *_WINDOW, AttrSpec("lengths", "ints")),
    _op("Dft", 1, windows.dft, AttrSpec("axes", "ints"), AttrSpec("inverse", "bool", False)),
)

_LINALG = (
    _op("Cholesky", 1, linalg.cholesky, numpy=("linalg.cholesky",)),
    _op(
        "TriangularSolve",
        2,
        linalg.solve,
        AttrSpec("lower", "bool", True),
        AttrSpec("transpose", "bool", False),
        AttrSpec("unit", "bool", False),
    ),
    _op("Solve", 2, linalg.solve, numpy=("linalg.solve",)),
    _op("LogAbsDet", 1, linalg.log_abs_det, numpy=("linalg.slogdet",)),
    _op("Eigh", 1, linalg.eigh, numpy=("linalg.eigh",)),
    _op("QR", 1, linalg.qr, numpy=("linalg.qr",)),
    _op("SVD", 1, linalg.svd, numpy=("linalg.svd",)),
)

_POSITIONS = (AttrSpec("wrt", "ints"), AttrSpec("outs", "ints"))
_OTHERWISE = AttrSpec("otherwise", "function", low=0)
_CONSTS = AttrSpec("n_consts", "int", 0, low=0)

_STRUCTURE = (
    _op("StopGradient", 1, rules.first_input),
    _op("Barrier", 1, rules.first_input, AttrSpec("token", "int", 0, low=0)),
    _op("Call", None, rules.no_rule, _FUNCTION),
    _op("Vjp", None, rules.no_rule, _FUNCTION, *_POSITIONS),
    _op("Jvp", None, rules.no_rule, _FUNCTION, *_POSITIONS),
    _op(
        "Vmap",
        None,
        rules.no_rule,
        _FUNCTION,
        AttrSpec("in_axes", "ints"),
        AttrSpec("size", "dims"),
    ),
    _op("Checkpoint", None, rules.no_rule, _FUNCTION),
    _op("CustomVjp", None, rules.no_rule, _FUNCTION, _OTHERWISE),
    _op("Cond", None, rules.no_rule, _FUNCTION, _OTHERWISE),
    _op(
        "Scan",
        None,
        rules.no_rule,
        _FUNCTION,
        _CONSTS,
        AttrSpec("n_carry", "int", 0, low=0),
        AttrSpec("length", "int", low=0, high=1_000_000),
        AttrSpec("reverse", "bool", False),
        AttrSpec("until", "bool", False),
        AttrSpec("limit", "bool", False),
    ),
    _op(
        "FixedPoint",
        None,
        rules.no_rule,
        _FUNCTION,
        _CONSTS,
        AttrSpec("max_iter", "int", low=1, high=1_000_000),
        AttrSpec("tol", "float", low=0.0),
        AttrSpec("adjoint_max_iter", "int", low=1, high=1_000_000),
        AttrSpec("adjoint_tol", "float", low=0.0),
        AttrSpec("per_example", "bool", False),
    ),
)

PRIMITIVES: dict[str, Signature] = {
    op.name: op
    for family in (
        _LEAVES,
        _FLOAT,
        _LOGIC,
        _MOVEMENT,
        _CONTRACTION,
        _ALONG,
        _LINALG,
        _STRUCTURE,
    )
    for op in family
}
