"""What no program can say of an op: the equation of its value, what happens at ties, and costs in words."""

from typing import NamedTuple


class Entry(NamedTuple):
    """Texts of one op; those that are empty are generated."""

    value: str
    ties: str = ""
    cost: str = ""
    derivative: str = ""


_NONE = "none"
_BODY = "that of its body"
_PIECEWISE = "0 where it jumps"
_VIEW = "none: a view"
_NAN_MATRIX = "a matrix with NaN or infinity gives NaN"

ENTRIES: dict[str, Entry] = {
    "Input": Entry("fed", "", _NONE, "the variable itself"),
    "Item": Entry("one output of a node with several", "", _NONE, "that of the node"),
    "Constant": Entry("the elements in `data`, or one that fills the shape", "", _NONE),
    "Iota": Entry("the index along an axis; along the batch the global one", "", _NONE),
    "DimSize": Entry("k N, N the whole batch in every shard", "", _NONE),
    "RandomBits": Entry(
        "Philox4x32-10: word y & 3 of block y >> 2, stream in the third word, key x",
        "leading axes of the key are leading axes of the counter; lanes of a vmap without keys of their own "
        "fold the key: words 0 and 1 of block `lane` in stream 2^31",
    ),
    "Neg": Entry("-x"),
    "Abs": Entry("&#124;x&#124;", "derivative 0 at 0"),
    "Sign": Entry("-1, 0 or 1", _PIECEWISE),
    "Exp": Entry("e^x"),
    "Expm1": Entry("e^x - 1, exact near 0"),
    "Log": Entry("log x", "-inf at 0, NaN below; derivative inf at 0"),
    "Log1p": Entry("log(1 + x), exact near 0"),
    "Sqrt": Entry("x^(1/2)", "NaN below 0; derivative inf at 0"),
    "Sin": Entry("sin x"),
    "Cos": Entry("cos x"),
    "Tanh": Entry("tanh x"),
    "Atan2": Entry(
        "the angle of the point (y, x)",
        "derivative 0 at (0, 0), where it has no limit",
        derivative="x: `ct * (y / (x * x + y * y))`; y: `-ct * (x / (x * x + y * y))`",
    ),
    "Erf": Entry("2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x"),
    "ErfInv": Entry("the y with erf y = x", "-inf, inf at -1, 1, and derivative inf; NaN beyond"),
    "Lgamma": Entry("log &#124;Gamma(x)&#124;", "inf at 0, -1, -2, ..."),
    "Polygamma": Entry(
        "the n-th derivative of the digamma function",
        "n from 0 to 150; inf or NaN at 0, -1, -2, ...",
        derivative="x: `ct * polygamma(n + 1, x)`",
    ),
    "Floor": Entry("the largest integer up to x", _PIECEWISE),
    "Round": Entry("the nearest integer", f"a half goes to the even one; {_PIECEWISE}"),
    "Add": Entry("x + y"),
    "Sub": Entry("x - y"),
    "Mul": Entry("x y"),
    "Div": Entry("x / y", "IEEE: inf or NaN for y = 0"),
    "Pow": Entry(
        "x^y",
        "derivative to x is 0 at x = y = 0; to y it is 0 at x = 0, y >= 0",
        derivative="x: `ct * (y * pow(x, y - 1))`; y: `ct * (out * log(x))`",
    ),
    "IntPow": Entry(
        "x^n, n static", "every order of derivative at 0", derivative="x: `ct * (n * x^(n - 1))`"
    ),
    "Max": Entry("the larger; NaN if one is", "in a tie each side gets half"),
    "Min": Entry("the smaller; NaN if one is", "in a tie each side gets half"),
    "Less": Entry("x < y", "false for NaN"),
    "Equal": Entry("x == y", "false for NaN"),
    "And": Entry("of bits"),
    "Or": Entry("of bits"),
    "Xor": Entry("of bits"),
    "Not": Entry("of a bool"),
    "IntDiv": Entry("x / y rounded towards -inf", "y = 0 is an error"),
    "Mod": Entry("x - y IntDiv(x, y), with y's sign", "y = 0 is an error"),
    "Where": Entry("y where x, else z", "no derivative through x; what is not chosen may be NaN"),
    "Cast": Entry(
        "x in another dtype",
        "to or from integers: no derivative; NaN, or a number that no integer stands for, is an error",
    ),
    "IsFinite": Entry("neither NaN nor infinite"),
    "Reshape": Entry("the same elements in C order", "", f"{_VIEW}, or a copy"),
    "Transpose": Entry("axes in the order `perm`", "", _VIEW),
    "Expand": Entry("x broadcast to the shape", "", _VIEW),
    "Slice": Entry("x[start:stop:step] of each axis, step > 0", "", _VIEW),
    "Flip": Entry("axes in reverse order", "", _VIEW),
    "Pad": Entry("zeros before, behind and between; negative ones cut"),
    "Concat": Entry("one after the other along an axis"),
    "MatMul": Entry("x y of the last two axes, leading axes broadcast", "", "2 m k n a matrix"),
    "ReduceSum": Entry("the sum over axes", "0 over an empty axis", "1 an element of x"),
    "ReduceMax": Entry(
        "the largest over axes; NaN if one is",
        "the m that attain it get 1/m each; an empty axis is an error",
        "1 an element of x",
    ),
    "ArgMax": Entry(
        "the first index of the largest; of NaN if there is one", "", "1 an element of x"
    ),
    "Gather": Entry(
        "rows of x along `axis` by the indices y; the first `batch_dims` axes are common",
        "an index outside is an error",
    ),
    "ScatterAdd": Entry(
        "zeros, with the rows y added at the indices x, in their order",
        "an index outside is an error",
        "1 an element of y",
    ),
    "ArgSort": Entry("the indices that put the axis in ascending order", "stable; NaN last"),
    "CumSum": Entry("y_i = sum of x_j for j <= i; `reverse`: j >= i; `exclusive`: without j = i"),
    "Unfold": Entry(
        "y[.., o, .., w] = x[.., o stride + w dilation, ..]: windows of axes, their elements behind",
        "",
        _VIEW,
    ),
    "Fold": Entry(
        "the transpose of Unfold: windows added to where they come from", "", "1 an element of x"
    ),
    "Dft": Entry(
        "y_k = sum of e^(-2 pi i j k / n) x_j, + for `inverse`; re and im on the last axis",
        "neither direction divides by n",
        "5 n log2 n a line",
    ),
    "Cholesky": Entry(
        "lower l: l l^T = (x + x^T) / 2",
        f"not positive definite is an error; {_NAN_MATRIX}",
        "n^3 / 3",
        "x: `l^-T P l^-1` made symmetric, P the lower triangle of `l^T ct`, diagonal halved",
    ),
    "TriangularSolve": Entry(
        "x^-1 y, of one triangle of x; `transpose`: x^-T y; `unit`: its diagonal is read as 1",
        "0 on the diagonal is an error",
        "n^2 a column",
        "y: `Y = x^-T ct`; x: the triangle of `-Y out^T`",
    ),
    "Solve": Entry(
        "x^-1 y",
        f"a singular x is an error; {_NAN_MATRIX}",
        "2/3 n^3 + 2 n^2 a column",
        "y: `Y = x^-T ct`; x: `-Y out^T`",
    ),
    "LogAbsDet": Entry(
        "(sign, log &#124;det x&#124;)",
        f"(0, -inf) of a singular x, whose derivative is an error; {_NAN_MATRIX}",
        "2/3 n^3",
        "x: `ct_1 x^-T`; the sign has none",
    ),
    "Eigh": Entry(
        "(w; v): (x + x^T) / 2 = v diag(w) v^T, w ascending",
        f"signs are LAPACK's; where w_i = w_j, F_ij = 0; {_NAN_MATRIX}",
        "9 n^3",
        "x: `v (diag(w_ct) + F * (v^T v_ct)) v^T` made symmetric, F_ij = 1 / (w_j - w_i)",
    ),
    "QR": Entry(
        "(q; r^T): x = q r, reduced",
        f"signs are LAPACK's; without full rank the derivative is an error; {_NAN_MATRIX}",
        "4 m n k",
        "x: `(q_ct + q copy(M)) r^-T`, M = r r_ct^T - q_ct^T q, copy: its lower triangle on both sides",
    ),
    "SVD": Entry(
        "(u; s; v): x = u diag(s) v^T, thin, s descending",
        "signs are LAPACK's; where s_i = s_j, F_ij = 0; where s_i = 0, 1 / s_i counts as 0; "
        + _NAN_MATRIX,
        "22 m n k",
        "x: `u ((F * skew(u^T u_ct)) s + s (F * skew(v^T v_ct)) + diag(s_ct)) v^T`, "
        "F_ij = 1 / (s_j^2 - s_i^2), and the parts of u_ct and v_ct beyond u and v, over s",
    ),
    "StopGradient": Entry("x", "", _VIEW),
    "Barrier": Entry("x; keeps equal nodes behind it apart", "", _VIEW),
    "Call": Entry("the function's outputs", "", _BODY, _BODY),
    "Vjp": Entry("the function's outputs, then its cotangents", "", _BODY, "a graph again"),
    "Jvp": Entry("the function's outputs, then its tangents", "", _BODY, "a graph again"),
    "Vmap": Entry("the function's outputs for every lane, lanes in front", "", _BODY, _BODY),
    "Checkpoint": Entry(
        "the function's outputs; its inside is computed again on the way back", "", _BODY, _BODY
    ),
    "CustomVjp": Entry(
        "the function's outputs; `otherwise` is its reverse rule", "", _BODY, "the rule given"
    ),
    "Cond": Entry(
        "`function` of the operands where x, else `otherwise`",
        "",
        "the dearer branch",
        "that of the branch taken",
    ),
    "Scan": Entry(
        "a carry through `length` steps, with outputs of every step stacked",
        "with `until`, steps end at the first true",
        "length bodies at most",
        "a Scan in the other direction",
    ),
    "FixedPoint": Entry(
        "x = f(x), iterated until the change is below `tol`",
        "no convergence is an error",
        "max_iter bodies at most",
        "the adjoint's fixed point (implicit function theorem)",
    ),
}
