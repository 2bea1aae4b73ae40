"""Is this a graph? One iterative pass over the columns, before anything is derived from them.

Names only known ops, refers only backwards, its avals are what the shape rules say, inside every limit. A
failure names function, row, label and source line, and shows the lines around it.
"""

from chainrule.errors import ChainruleError, ErrorCode, InvalidGraph, LimitExceeded
from chainrule.ir.attrs import AttrSpec, callees, complete
from chainrule.ir.avals import Aval, DType, check_shape
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.graph import Function, Graph
from chainrule.ir.inference import infer, signature_of
from chainrule.ir.limits import DEFAULT, Limits
from chainrule.ir.names import check_name
from chainrule.ir.printer import around

_LIBRARY = {name: f.signature for name, f in FUNCTIONS.items()}
_NAME_ATTR = (AttrSpec("name", "str"),)
_INDEX_ATTR = (AttrSpec("index", "int", low=1),)


def check(graph: Graph, limits: Limits = DEFAULT) -> None:
    """Refuse what is no graph.

    Cost: linear in rows and references; sizes are compared before any row is looked at.

    Raises:
        GraphError: with function, node, label and line, and the printed rows around the fault.
    """
    _check_size(graph, limits)
    depth: list[int] = []
    steps: list[int] = []
    for index, function in enumerate(graph.functions):
        depth.append(_check_function(graph, index, function, depth))
        steps.append(_check_steps(graph, index, steps, limits))
        if depth[-1] > limits.nesting:
            raise LimitExceeded(
                f"functions nest {depth[-1]} deep, above {limits.nesting}",
                code=ErrorCode.NESTING_TOO_DEEP,
                cure="call fewer functions inside functions",
            )


def _check_size(graph: Graph, limits: Limits) -> None:
    counts = (
        ("functions", len(graph.functions), limits.functions, ErrorCode.TOO_MANY_NODES),
        ("nodes", graph.n_nodes, limits.nodes, ErrorCode.TOO_MANY_NODES),
        (
            "references",
            sum(len(i) for f in graph.functions for i in f.inputs),
            limits.edges,
            ErrorCode.TOO_MANY_NODES,
        ),
        (
            "bytes of constants",
            sum(
                len(v)
                for f in graph.functions
                for row in f.attrs
                for _, v in row
                if isinstance(v, bytes)
            ),
            limits.constant_bytes,
            ErrorCode.CONSTANT_TOO_LARGE,
        ),
    )
    for what, have, most, code in counts:
        if have > most:
            raise LimitExceeded(
                f"the graph has {have} {what}, above {most}",
                code=code,
                cure="send large arrays as inputs, and repeat less",
                limit=most,
                value=have,
            )
    if not graph.functions:
        raise InvalidGraph("the graph has no function", code=ErrorCode.INVALID_GRAPH)


def _check_function(graph: Graph, index: int, function: Function, depth: list[int]) -> int:
    """Check one function; gives how deep it nests."""
    columns = {len(function.ops), len(function.inputs), len(function.attrs), len(function.avals)}
    if len(columns) != 1 or not function.ops:
        raise InvalidGraph(
            f"function {function.name} has columns of {sorted(columns)} rows",
            code=ErrorCode.INVALID_GRAPH,
            cure="give every column one entry a row",
        )
    deepest = 0
    earlier = graph.functions[:index]
    several: dict[int, tuple[Aval, ...]] = {}
    for row in range(len(function)):
        try:
            _check_row(earlier, function, row, several)
        except ChainruleError as error:
            debug = graph.debug_of(index)
            error.function, error.node = function.name, row
            error.label = debug.label(row) or function.ops[row][:64]
            error.line = debug.line(row)
            error.facts.setdefault("around", around(function, row, debug))
            raise
        deepest = max((deepest, *(depth[i] for i in callees(function.attrs[row]))))
    _check_ends(function)
    return deepest + 1


def _check_steps(graph: Graph, index: int, steps: list[int], limits: Limits) -> int:
    """Steps that the loops of a function take together, one inside another multiplied.

    Each length is within its bound, but ten thousand times ten thousand steps would run for an hour.
    """
    function = graph.functions[index]
    total = 0
    for row, (op, attrs) in enumerate(zip(function.ops, function.attrs, strict=True)):
        inside = sum(steps[i] for i in callees(attrs))
        if op == "Scan":
            given = dict(attrs)
            length = given["length"]
            assert isinstance(length, int)
            inside = inside if given["until"] else length * max(inside, 1)
        total += inside
        if total > limits.steps:
            debug = graph.debug_of(index)
            raise LimitExceeded(
                f"the loops take {total} steps together, above {limits.steps}",
                code=ErrorCode.COST_FLOPS,
                function=function.name,
                node=row,
                label=debug.label(row) or op,
                line=debug.line(row),
                cure="nest loops of fewer steps, or work on whole arrays",
                limit=limits.steps,
                value=total,
            )
    return total


def _check_row(
    earlier: tuple[Function, ...],
    function: Function,
    row: int,
    several: dict[int, tuple[Aval, ...]],
) -> None:
    op, inputs, attrs, aval = function.node(row)[1:]
    for i in inputs:
        if not 0 <= i < row:
            raise InvalidGraph(
                f"refers to row {i}", code=ErrorCode.BAD_REF, cure="refer to smaller rows only"
            )
    given = dict(attrs)
    if len(given) != len(attrs):
        raise InvalidGraph("an attribute is given twice", code=ErrorCode.ATTR_RANGE)
    check_shape(aval.shape)
    if aval.dtype in (DType.FLOAT16, DType.BFLOAT16) and op != "Input" and op != "Cast":
        raise InvalidGraph(
            f"computes in {aval.dtype.label}",
            code=ErrorCode.BAD_DTYPE,
            cure="16-bit floats are for storage: cast to float32 first",
        )
    if op == "Input":
        if row and function.ops[row - 1] != "Input":
            raise InvalidGraph("an input after a node", code=ErrorCode.INVALID_GRAPH)
        if complete(op, _NAME_ATTR, given) != attrs or inputs:
            raise InvalidGraph("an input has a name and nothing else", code=ErrorCode.ATTR_RANGE)
        check_name(str(given["name"]), "input")
        return
    if op == "Item":
        complete(op, _INDEX_ATTR, given)
        expected = _item(function, inputs, given["index"], several)
    else:
        signature = signature_of(op, _LIBRARY)
        full = complete(op, signature.attrs, given)
        # 1 and 1.0 are equal, but not the same attribute.
        if full != attrs or any(type(v) is float and type(given[k]) is int for k, v in full):
            raise InvalidGraph(
                "attributes are not complete and sorted by name", code=ErrorCode.NON_CANONICAL
            )
        outs = infer(
            signature,
            tuple(function.avals[i] for i in inputs),
            attrs,
            earlier,
        )
        expected = outs[0]
        if len(outs) > 1:
            several[row] = outs
    if expected != aval:
        raise InvalidGraph(
            f"is declared {aval}, its inputs give {expected}",
            code=ErrorCode.SHAPE_MISMATCH,
            cure="declare what the shape rule gives, or change the inputs",
        )


def _item(
    function: Function,
    inputs: tuple[int, ...],
    index: object,
    several: dict[int, tuple[Aval, ...]],
) -> Aval:
    outs = several.get(inputs[0]) if len(inputs) == 1 else None
    if outs is None or not isinstance(index, int) or index >= len(outs):
        raise InvalidGraph(
            f"item {index} of a node without it", code=ErrorCode.BAD_REF, cure="name an output"
        )
    return outs[index]


def _check_ends(function: Function) -> None:
    """Outputs exist; inputs and outputs each have names of their own."""
    if not function.outputs or len(function.outputs) != len(function.output_names):
        raise InvalidGraph(
            f"function {function.name} has {len(function.outputs)} outputs and "
            f"{len(function.output_names)} names",
            code=ErrorCode.INVALID_GRAPH,
            cure="name every output",
        )
    for row in function.outputs:
        if not 0 <= row < len(function):
            raise InvalidGraph(
                f"output row {row} of function {function.name} is not there",
                code=ErrorCode.BAD_REF,
                cure=f"name rows below {len(function)}",
            )
    for what, names in (("input", function.input_names), ("output", function.output_names)):
        for name in names:
            check_name(name, what)
        if len(set(names)) != len(names):
            raise InvalidGraph(
                f"two {what}s of function {function.name} share a name",
                code=ErrorCode.DUPLICATE_NAME,
                cure="give each its own",
            )
