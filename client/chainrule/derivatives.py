"""Derivatives beyond the gradient, as methods of a client."""

from collections.abc import Mapping
from typing import Any

from chainrule.binding import graded, valued
from chainrule.errors import ErrorCode, GraphError
from chainrule.gradients import Gradients, value_wish
from chainrule.lease import Linearized, check_tangents, open_lease
from chainrule.options import Options
from chainrule.prepared import Function, Prepared, Wrt, lanes_of, owned, prepare
from chainrule.verification import VerifyReport
from chainrule.wire.records import Array, Computation, Wish


class Derivatives:
    """What a client does with derivatives of all orders and directions.

    Args:
        gradients: the service.
        timeout_s: of a call that names none.
    """

    def __init__(self, gradients: Gradients, timeout_s: float) -> None:
        self._gradients = gradients
        self._timeout_s = timeout_s

    def vjp(
        self, f: Function, primals: Any, cotangents: Any, *, many: bool = False, **options: Any
    ) -> tuple[Any, Any]:
        """(f(*primals), cotangents of the primals): one pass backwards.

        Args:
            f: any function of arrays.
            primals: a tuple of arguments; something else counts as one argument.
            cotangents: one a value, in the structure of the value.
            many: every cotangent carries a leading axis, the same for all; so does every result. The value
                is computed once.
            options: batch, timeout_s, max_bytes, max_flops, seed, kwargs.
        """
        args, several = primals_of(primals)
        prepared, chosen = self._prepared(f, args, options)
        wrt = prepared.differentiable()
        directions = prepared.cotangents(cotangents, many)
        wish = Wish(
            Computation.VJP,
            prepared.wrt_names(wrt),
            tuple(directions),
            directions,
            lanes_of(directions, many),
        )
        answer = self._gradients.compute(prepared, (value_wish(), wish), chosen)
        found = dict(zip(wrt, graded(prepared, wrt, answer.results[1]), strict=True))
        parts = tuple(found.get(i) for i in range(len(args)))
        return valued(prepared, answer.results[0]), parts if several else parts[0]

    def jvp(
        self, f: Function, primals: Any, tangents: Any, *, many: bool = False, **options: Any
    ) -> tuple[Any, Any]:
        """(f(*primals), tangent of the value): one pass forwards.

        Args:
            f: any function of arrays.
            primals: a tuple of arguments; something else counts as one argument.
            tangents: one a primal, in their structure.
            many: as in `vjp`, of tangents.
            options: batch, timeout_s, max_bytes, max_flops, seed, kwargs.
        """
        args, several = primals_of(primals)
        given = tuple(tangents) if several else (tangents,)
        prepared, chosen = self._prepared(f, args, options)
        check_tangents(given, args)
        wrt = prepared.differentiable()
        names = prepared.wrt_names(wrt)
        directions = prepared.directions(names, wrt, [given[i] for i in wrt], "tangents", many)
        lanes = lanes_of(directions, many)
        wish = Wish(Computation.JVP, names, prepared.float_outs(), directions, lanes)
        answer = self._gradients.compute(prepared, (value_wish(), wish), chosen)
        return valued(prepared, answer.results[0]), prepared.tangent(
            answer.results[0], answer.results[1]
        )

    def hvp(
        self, f: Function, *args: Any, vector: Any, wrt: Wrt = 0, many: bool = False, **options: Any
    ) -> Any:
        """The Hessian of f times a vector, which has the structure of the arguments in wrt.

        Args:
            f: gives one float scalar.
            args: its arguments.
            vector: in the structure of the arguments in wrt.
            wrt: the number of an argument, or a tuple of them.
            many: the vector carries a leading axis, and so does the result.
            options: batch, timeout_s, max_bytes, max_flops, seed, kwargs.
        """
        prepared, chosen = self._prepared(f, args, options)
        names = prepared.wrt_names(wrt)
        directions = prepared.directions(names, wrt, vector, "vectors", many)
        lanes = lanes_of(directions, many)
        wish = Wish(Computation.HVP, names, (prepared.scalar_out(),), directions, lanes)
        answer = self._gradients.compute(prepared, (wish,), chosen)
        return graded(prepared, wrt, answer.results[0])

    def jacobian(self, f: Function, *args: Any, wrt: Wrt = 0, **options: Any) -> Any:
        """All first derivatives: the structure of the value outside, that of the arguments inside.

        A leaf has the axes of its output first. The server goes forwards or backwards, whichever takes
        fewer operations, and runs f once.

        Args:
            f: any function of arrays; what it gives in integers has None in place of derivatives.
            args: its arguments.
            wrt: the number of an argument, or a tuple of them; then each leaf is a tuple.
            options: batch, timeout_s, max_bytes, max_flops, seed, kwargs.
        """
        prepared, chosen = self._prepared(f, args, options)
        names, outs = prepared.wrt_names(wrt), prepared.float_outs()
        if not outs:
            raise GraphError(
                "the function gives no array of floats",
                code=ErrorCode.NOT_DIFFERENTIABLE,
                cure="convert what it gives with .astype(np.float64)",
            )
        wish = Wish(Computation.JACOBIAN, names, outs)
        blocks = _blocks(self._gradients.compute(prepared, (wish,), chosen).results[0])
        rows = {
            out: prepared.shaped(wrt, {name: blocks[k, j] for j, name in enumerate(names)})
            for k, out in enumerate(outs)
        }
        return prepared.graph.unflatten({n: rows.get(n) for n in prepared.graph.out_names})

    def hessian(self, f: Function, *args: Any, wrt: Wrt = 0, **options: Any) -> Any:
        """All second derivatives: the structure of the arguments in wrt, twice.

        Args:
            f: gives one float scalar.
            args: its arguments.
            wrt: the number of an argument, or a tuple of them.
            options: batch, timeout_s, max_bytes, max_flops, seed, kwargs.
        """
        prepared, chosen = self._prepared(f, args, options)
        names = prepared.wrt_names(wrt)
        wish = Wish(Computation.HESSIAN, names, (prepared.scalar_out(),))
        blocks = _blocks(self._gradients.compute(prepared, (wish,), chosen).results[0])
        rows = {
            name: prepared.shaped(wrt, {other: blocks[k, j] for j, other in enumerate(names)})
            for k, name in enumerate(names)
        }
        return prepared.shaped(wrt, rows)

    def per_example_grad(self, f: Function, *args: Any, wrt: Wrt = 0, **options: Any) -> Any:
        """A gradient an example: row i is grad(f) for x[i:i+1], in the structure of the arguments in wrt.

        The batch keeps its axis, with length 1, in each of these calls, and its size there is 1. Where f
        draws random numbers, each example has draws of its own.

        Args:
            f: the loss of a batch, one float scalar.
            args: its arguments.
            wrt: the number of an argument, or a tuple of them.
            options: batch (numbers of the arguments whose leading axis is the batch), timeout_s, max_bytes,
                max_flops, seed, kwargs.
        """
        prepared, chosen = self._prepared(f, args, options)
        if not prepared.examples:
            raise GraphError(
                "a gradient an example, and no argument is a batch",
                code=ErrorCode.BATCH_MISMATCH,
                cure="name the arguments whose leading axis is the batch: batch=(1, 2)",
            )
        names = prepared.wrt_names(wrt)
        wish = Wish(Computation.PER_EXAMPLE_GRAD, names, (prepared.scalar_out(),))
        return graded(prepared, wrt, self._gradients.compute(prepared, (wish,), chosen).results[0])

    def linearize(
        self, f: Function, *args: Any, ttl_s: float | None = None, **options: Any
    ) -> Linearized:
        """f at these arguments, run once: `.value`, and derivatives without running it again.

        The server keeps what they need until it is released (`with client.linearize(...) as lease`), or
        not used for `ttl_s`.

        Args:
            f: any function of arrays.
            args: its arguments.
            ttl_s: seconds to keep it after its last use; None: the server's choice.
            options: batch, timeout_s, max_bytes, max_flops, seed, kwargs.
        """
        prepared, chosen = self._prepared(f, args, options)
        return open_lease(self._gradients, prepared, chosen, ttl_s)

    def verify(
        self,
        f: Function,
        *args: Any,
        wrt: Wrt | None = None,
        tolerance: float | None = None,
        **options: Any,
    ) -> VerifyReport:
        """The derivatives of f at these arguments, held against values that know nothing of them.

        The server compares, along random directions, each input's derivative with central differences that
        it extrapolates over several steps, forwards with backwards (<ct, jvp t> = <vjp ct, t>), and each
        node's tangent and rule in the same way. `seed` chooses the directions.

        Args:
            f: any function of arrays.
            args: its arguments.
            wrt: the number of an argument, or a tuple of them; None: all that have derivatives.
            tolerance: relative; None: what the dtypes allow.
            options: batch, timeout_s, max_bytes, max_flops (of all evaluations), seed, kwargs.
        """
        prepared, chosen = self._prepared(f, args, options)
        names = prepared.wrt_names(prepared.differentiable() if wrt is None else wrt)
        return self._gradients.verify(prepared, names, chosen, tolerance or 0.0)

    def _prepared(
        self, f: Function, args: tuple[Any, ...], given: dict[str, Any]
    ) -> tuple[Prepared, Options]:
        batch = given.pop("batch", ())
        kwargs, chosen = self._options(given)
        return prepare(f, args, kwargs=kwargs, batch=batch), chosen

    def _options(self, given: dict[str, Any]) -> tuple[Mapping[str, Any] | None, Options]:
        kwargs = given.pop("kwargs", None)
        options = Options(
            timeout_s=given.pop("timeout_s", self._timeout_s),
            max_bytes=given.pop("max_bytes", None),
            seed=given.pop("seed", 0),
            max_flops=given.pop("max_flops", None),
        )
        if given:
            name = next(iter(given))
            raise TypeError(
                f"unknown option {name!r}; known are timeout_s, max_bytes, max_flops, seed, kwargs "
                f"(keyword arguments of f go in kwargs={{{name!r}: ...}})"
            )
        return kwargs, options


def primals_of(primals: Any) -> tuple[tuple[Any, ...], bool]:
    """Arguments as a tuple, and whether they were given as one."""
    if isinstance(primals, tuple | list):
        return tuple(primals), True
    return (primals,), False


def _blocks(arrays: Mapping[str, Array]) -> dict[tuple[int, int], Any]:
    """Results by the numbers of output and input that their names are."""
    numbers = {name: name.partition("/") for name in arrays}
    return {(int(k), int(j)): owned(arrays[name]) for name, (k, _, j) in numbers.items()}
