"""Dead code: rows that no output needs are left out. Inputs stay, they are the signature."""

from chainrule.ir.graph import Debug, Function


def eliminate(function: Function, debug: Debug) -> tuple[Function, Debug]:
    """The function without rows that no output needs."""
    live = bytearray(len(function))
    for row in function.outputs:
        live[row] = 1
    for row in range(len(function) - 1, -1, -1):
        if live[row]:
            for i in function.inputs[row]:
                live[i] = 1
    for row in range(function.n_inputs):
        live[row] = 1
    if all(live):
        return function, debug
    number: dict[int, int] = {}
    for row, keep in enumerate(live):
        if keep:
            number[row] = len(number)
    kept = list(number)
    smaller = Function(
        function.name,
        tuple(function.ops[i] for i in kept),
        tuple(tuple(number[j] for j in function.inputs[i]) for i in kept),
        tuple(function.attrs[i] for i in kept),
        tuple(function.avals[i] for i in kept),
        tuple(number[i] for i in function.outputs),
        function.output_names,
    )
    labels = tuple(debug.label(i) or "" for i in kept)
    lines = tuple(debug.line(i) or "" for i in kept)
    return smaller, Debug(labels, lines)
