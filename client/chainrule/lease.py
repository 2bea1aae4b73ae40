"""A function at one point whose forward stays on the server: `client.linearize`."""

from types import TracebackType
from typing import Any, Self

from chainrule.binding import graded, valued
from chainrule.errors import ErrorCode, GraphError
from chainrule.gradients import Answer, Gradients, limits_of, value_wish
from chainrule.options import Options
from chainrule.prepared import Prepared, lanes_of
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.wire.records import Computation, Resources, Wish


class Linearized:
    """What `client.linearize` gives: a value, and its derivatives at that point. A context manager.

    Attributes:
        value: what the function gave.
        stats: time, work and memory of the forward.
        nbytes: what the server keeps.
        ttl_s: seconds that it is kept after its last use.
        last_stats: of the last derivative, which has no forward in it.
    """

    def __init__(self, gradients: Gradients, prepared: Prepared, options: Options, answer: Answer):
        lease = answer.lease
        assert lease is not None
        self._gradients = gradients
        self._prepared = prepared
        self._options = options
        self._id = lease.id
        self._wrt = prepared.differentiable()
        self.value = valued(prepared, answer.results[0])
        self.stats: Resources = answer.stats
        self.last_stats: Resources = answer.stats
        self.nbytes = lease.bytes
        self.ttl_s = lease.ttl_ms / 1000

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<Linearized, {self.nbytes} bytes on the server for {self.ttl_s:g} s>"

    def vjp(self, cotangents: Any, *, many: bool = False) -> Any:
        """Cotangents of the arguments: of one argument it, of several a tuple with None for integers.

        Args:
            cotangents: one a value, in the structure of the value.
            many: every cotangent carries a leading axis, the same for all; so does every result.

        Raises:
            NotFound: the lease has ended.
        """
        prepared, wrt = self._prepared, self._wrt
        directions = prepared.cotangents(cotangents, many)
        answer = self._derive(Computation.VJP, directions, many)
        found = dict(zip(wrt, graded(prepared, wrt, answer.results[0]), strict=True))
        parts = tuple(found.get(i) for i in range(len(prepared.args)))
        return parts if len(parts) > 1 else parts[0]

    def jvp(self, *tangents: Any, many: bool = False) -> Any:
        """The tangent of the value.

        Args:
            tangents: one an argument, side by side or as one tuple.
            many: as in `vjp`.

        Raises:
            NotFound: the lease has ended.
        """
        prepared, wrt = self._prepared, self._wrt
        together = len(tangents) == 1 and len(prepared.args) > 1
        given = tuple(tangents[0]) if together else tangents
        check_tangents(given, prepared.args)
        names = prepared.wrt_names(wrt)
        directions = prepared.directions(names, wrt, [given[i] for i in wrt], "tangents", many)
        answer = self._derive(Computation.JVP, directions, many)
        return prepared.tangent(dict.fromkeys(prepared.graph.out_names), answer.results[0])

    def release(self) -> bool:
        """Frees the server's memory; False where the lease had ended."""
        return self._gradients.release(self._id, self._options.timeout_s)

    def _derive(self, kind: Computation, directions: Any, many: bool) -> Answer:
        wish = Wish(kind, directions=directions, lanes=lanes_of(directions, many))
        answer = self._gradients.derive(
            self._id, self._prepared.graph, wish, self._options.timeout_s, limits_of(self._options)
        )
        self.last_stats = answer.stats
        return answer


def open_lease(
    gradients: Gradients, prepared: Prepared, options: Options, ttl_s: float | None
) -> Linearized:
    """Runs the forward and keeps it.

    Raises:
        GraphError: nothing has a derivative, or a time that is none.
        Overloaded: there are too many leases (QUOTA).
    """
    if ttl_s is not None and not 0 < ttl_s < 1e9:
        raise GraphError(
            f"ttl_s is {ttl_s!r}",
            code=ErrorCode.BAD_FIELD,
            field="ttl_s",
            cure="give seconds above 0",
        )
    names, outs = prepared.wrt_names(prepared.differentiable()), prepared.float_outs()
    wish = pb.LeaseWish(ttl_ms=max(1, int(1000 * ttl_s)) if ttl_s else 0, wrt=names, outs=outs)
    answer = gradients.compute(prepared, (value_wish(),), options, lease=wish)
    return Linearized(gradients, prepared, options, answer)


def check_tangents(given: tuple[Any, ...], args: tuple[Any, ...]) -> None:
    """One tangent an argument.

    Raises:
        GraphError: BAD_FIELD.
    """
    if len(given) != len(args):
        raise GraphError(
            f"{len(given)} tangents for {len(args)} primals",
            code=ErrorCode.BAD_FIELD,
            cure="give one a primal",
        )
