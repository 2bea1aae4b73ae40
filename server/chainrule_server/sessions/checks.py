"""Whether graphs fit a session: names, dtypes and shapes, before anything is compiled."""

from collections.abc import Iterable, Mapping

from chainrule.errors import ErrorCode, Incompatible, InvalidGraph
from chainrule.ir.avals import Aval, DType
from chainrule.ir.graph import Function
from chainrule.ir.names import check_name

KEY = "$key"
CAPTURE = "capture/"
_FED = ("batch/", CAPTURE)


def check_reads(function: Function, state: Mapping[str, Aval]) -> None:
    """That a graph reads only what the session holds or a caller may feed.

    Raises:
        Incompatible: a leaf that isn't there or differs.
        InvalidGraph: an input that nobody would give.
    """
    for name, aval in zip(function.input_names, function.in_avals, strict=True):
        if any(is_under(name, root) for root in ("params", "buffers", "state")):
            if state.get(name) != aval:
                held = state.get(name)
                raise Incompatible(
                    f"the graph reads {name} as {aval}, the session holds"
                    f" {held if held else 'no such leaf'}",
                    field=name,
                    cure="trace the graph with the session's parameters",
                )
        elif name != KEY and not name.startswith(_FED):
            raise InvalidGraph(
                f"a session has nothing to give to the input {name}",
                field=name,
                cure="name inputs params/.. buffers/.. batch/<i>/.. capture/<digest> or $key",
            )


def check_loss(function: Function, state: Mapping[str, Aval]) -> None:
    """That a graph may serve as the loss of a step.

    Raises:
        Incompatible, InvalidGraph: as `check_reads`; no scalar loss (BAD_LOSS); buffers that come back
            changed in name or shape, or don't come back.
    """
    check_reads(function, state)
    outputs = dict(zip(function.output_names, function.out_avals, strict=True))
    loss = outputs.get("loss")
    if loss is None or loss.shape != () or not loss.dtype.is_float:
        raise InvalidGraph(
            f"the output loss is {loss if loss else 'missing'}, a step needs a floating-point scalar",
            code=ErrorCode.BAD_LOSS,
            field="loss",
            cure="reduce the loss to a scalar, for example with a mean over the batch",
        )
    for name in outputs:
        if name != "loss" and not is_under(name, "buffers") and not is_under(name, "metrics"):
            raise InvalidGraph(
                f"a step has no use for the output {name}",
                field=name,
                cure="name outputs loss, buffers/.. or metrics/..",
            )
    buffers = {name: aval for name, aval in state.items() if is_under(name, "buffers")}
    returned = {name: aval for name, aval in outputs.items() if is_under(name, "buffers")}
    _same("the loss graph returns", returned, buffers)


def check_init(function: Function, params: Mapping[str, Aval]) -> dict[str, Aval]:
    """The optimizer's state, by leaf name, from its init graph: params/.. -> state/..

    Raises:
        Incompatible: it reads something else than parameters.
        InvalidGraph: it returns something else than state.
    """
    for name, aval in zip(function.input_names, function.in_avals, strict=True):
        _same("the optimizer's init reads", {name: aval}, {name: params.get(name)})
    outputs = dict(zip(function.output_names, function.out_avals, strict=True))
    check_names(outputs, "state")
    return outputs


def check_update(
    function: Function, params: Mapping[str, Aval], state: Mapping[str, Aval], frozen: Iterable[str]
) -> tuple[str, ...]:
    """Names of the parameters that an update graph trains.

    Raises:
        Incompatible: its inputs and outputs aren't those of this optimizer and these parameters.
    """
    unknown = sorted(set(frozen) - params.keys())
    if unknown:
        raise Incompatible(
            f"frozen names {unknown[0]}, which is no parameter",
            field="frozen",
            cure="name leaves of the parameters, params/..",
        )
    trained = {
        name: aval
        for name, aval in params.items()
        if aval.dtype.is_float and name not in set(frozen)
    }
    inputs = dict(zip(function.input_names, function.in_avals, strict=True))
    outputs = dict(zip(function.output_names, function.out_avals, strict=True))
    if not trained:
        raise Incompatible(
            "every parameter is frozen or an integer",
            field="frozen",
            cure="leave a floating-point parameter to train",
        )
    grads = {_swapped(name, "grads"): aval for name, aval in trained.items()}
    updates = {_swapped(name, "updates"): aval for name, aval in trained.items()}
    known = {**params, **state, **grads, "step": Aval(DType.INT64)}
    # An optimizer may leave an input out of its graph that its rule doesn't need.
    _same("the optimizer's update reads", inputs, {name: known.get(name) for name in inputs})
    read = {name: aval for name, aval in inputs.items() if is_under(name, "grads")}
    _same("the optimizer's update reads", read, grads)
    _same("the optimizer's update returns", outputs, {**updates, **state})
    return tuple(sorted(trained))


def is_under(name: str, root: str) -> bool:
    """Whether a leaf belongs to a tree: `params/W`, or `params` alone for a bare array."""
    return name == root or name.startswith(root + "/")


def check_names(names: Iterable[str], root: str) -> None:
    """That leaves have the names that their tree gives them.

    Raises:
        InvalidGraph: another name (BAD_NAME).
    """
    for name in names:
        if not is_under(check_name(name, "the leaf"), root):
            raise InvalidGraph(
                f"the leaf {name} where {root}/.. belongs",
                code=ErrorCode.BAD_NAME,
                field=name,
                cure=f"name it {root}/..",
            )


def _swapped(name: str, root: str) -> str:
    return root + name.removeprefix("params")


def _same(what: str, given: Mapping[str, Aval], wanted: Mapping[str, Aval | None]) -> None:
    for name in sorted(given.keys() | wanted.keys()):
        if given.get(name) != wanted.get(name):
            raise Incompatible(
                f"{what} {name} as {given.get(name, 'nothing')}, which should be"
                f" {wanted.get(name) or 'absent'}",
                field=name,
                cure="trace it again for the session's parameters and buffers",
            )
