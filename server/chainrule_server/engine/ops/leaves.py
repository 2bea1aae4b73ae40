"""Leaves: values that no other value goes into. The plan fills them once, before the first run."""

from chainrule_server.engine.ops.table import NoDerivative, Op, no_cost, no_workspace

_NO_INPUT = NoDerivative("it has no input to differentiate with respect to")


def _leaf(name: str) -> Op:
    return Op(name, None, _NO_INPUT, _NO_INPUT, no_cost, no_workspace)


LEAVES = (_leaf("Constant"), _leaf("Iota"), _leaf("DimSize"))
