"""Tracing: ordinary NumPy code becomes a graph, `trace(f, *args)`.

The families of functions (`elementwise`, `movement`, ...) enter themselves in the table of `registry`.
"""

from chainrule.tracing import (
    composed,
    contraction,
    creation,
    einsum,
    elementwise,
    indexing,
    linalg,
    methods,
    movement,
    ordering,
    reductions,
    special,
    statistics,
    windows,
)
from chainrule.tracing.graph import Graph, batch_size
from chainrule.tracing.implicit import fixed_point, root
from chainrule.tracing.lanes import hessian, jacfwd, jacrev, vmap
from chainrule.tracing.loops import cond, scan, while_loop
from chainrule.tracing.notices import Notice
from chainrule.tracing.reversible import reversible
from chainrule.tracing.rules import checkpoint, custom_vjp
from chainrule.tracing.spec import Spec, spec
from chainrule.tracing.trace import trace
from chainrule.tracing.tracer import Tracer
from chainrule.tracing.transforms import (
    asarray,
    grad,
    hvp,
    jvp,
    linearize,
    stop_gradient,
    value_and_grad,
    vjp,
)

FAMILIES = (
    composed,
    contraction,
    creation,
    einsum,
    elementwise,
    indexing,
    linalg,
    methods,
    movement,
    ordering,
    reductions,
    special,
    statistics,
    windows,
)

__all__ = [
    "FAMILIES",
    "Graph",
    "Notice",
    "Spec",
    "Tracer",
    "asarray",
    "batch_size",
    "checkpoint",
    "cond",
    "custom_vjp",
    "fixed_point",
    "grad",
    "hessian",
    "hvp",
    "jacfwd",
    "jacrev",
    "jvp",
    "linearize",
    "reversible",
    "root",
    "scan",
    "spec",
    "stop_gradient",
    "trace",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]
