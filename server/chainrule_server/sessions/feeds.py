"""Arrays for the inputs of a graph: found, checked against their avals, and the batch size read off them."""

from collections.abc import Mapping, Sequence

from chainrule.errors import ErrorCode, GraphError, InvalidGraph, ShapeMismatch, Unsupported
from chainrule.ir.avals import Aval, BatchDim
from chainrule.ir.graph import Function
from chainrule.ir.names import closest
from chainrule.ir.tensors import Array, aval_of
from chainrule_server.sessions.types import BatchRef, NamedTensor, ObjectRef
from chainrule_server.storage.objects import ObjectStore


def resolve(
    tensors: Sequence[NamedTensor], rows: BatchRef | None, objects: ObjectStore, tenant: str
) -> dict[str, Array]:
    """Arrays by name; those that lie in the store are mapped.

    Raises:
        InvalidGraph: a name given twice (DUPLICATE_NAME).
        NotFound: an object that isn't there (OBJECT_MISSING).
        Unsupported: rows of a data set.
    """
    if rows is not None:
        raise Unsupported(
            "rows of an uploaded data set are not served by this version",
            field="batch_ref",
            cure="send the batch itself",
        )
    found: dict[str, Array] = {}
    for tensor in tensors:
        if tensor.name in found:
            raise InvalidGraph(
                f"the tensor {tensor.name} is given twice",
                code=ErrorCode.DUPLICATE_NAME,
                field=tensor.name,
                cure="give every leaf once",
            )
        value = tensor.value
        found[tensor.name] = (
            objects.array(tenant, value.digest) if isinstance(value, ObjectRef) else value
        )
    return found


def batch_size(function: Function, feeds: Mapping[str, Array], examples: int = 0) -> int:
    """N, after checking the feeds against the inputs `batch/..` of a graph. 1 where nothing is batched.

    Raises:
        ShapeMismatch: a shape or dtype that doesn't fit, or sizes of batch that differ (BATCH_MISMATCH).
        GraphError: a feed that is missing or unknown.
    """
    avals = dict(zip(function.input_names, function.in_avals, strict=True))
    wanted = {name: aval for name, aval in avals.items() if name.startswith("batch/")}
    for name in feeds:
        if name not in wanted:
            near = closest(name, wanted)
            raise GraphError(
                f"the graph has no input {name}",
                code=ErrorCode.BAD_FIELD,
                field=name,
                cure=f"did you mean {near}?" if near else "send the inputs that the graph names",
            )
    sizes = {examples: "examples"} if examples else {}
    for name, aval in wanted.items():
        if name not in feeds:
            raise GraphError(
                f"the input {name} ({aval}) is missing",
                code=ErrorCode.MISSING_FIELD,
                field=name,
                cure="send every input of the graph",
            )
        sizes |= dict.fromkeys(_examples(name, aval, feeds[name]), name)
    if len(sizes) > 1:
        listed = ", ".join(f"{name} has {n}" for n, name in sorted(sizes.items()))
        raise ShapeMismatch(
            f"numbers of examples differ: {listed}",
            code=ErrorCode.BATCH_MISMATCH,
            cure="give all inputs of a batch the same leading length",
        )
    n = next(iter(sizes), 1)
    if n < 1:
        raise ShapeMismatch(
            "a batch without examples",
            code=ErrorCode.BATCH_MISMATCH,
            cure="send at least one example",
        )
    return n


def _examples(name: str, aval: Aval, array: Array) -> set[int]:
    given = aval_of(array)
    if given.dtype is not aval.dtype:
        raise ShapeMismatch(
            f"{name} is {given.dtype.label}, the graph was traced for {aval.dtype.label}",
            code=ErrorCode.DTYPE_MISMATCH,
            field=name,
            cure=f"convert it with .astype({aval.dtype.label!r})",
        )
    found = set()
    fits = given.rank == aval.rank
    for dim, size in zip(aval.shape, given.dims, strict=False):
        if isinstance(dim, BatchDim):
            fits = fits and size % dim.k == 0
            found.add(size // dim.k)
        else:
            fits = fits and dim == size
    if not fits:
        raise ShapeMismatch(
            f"{name} is {given}, the graph was traced for {aval}",
            field=name,
            cure="send the shape it was traced for, or trace it again for this one",
        )
    return found
