"""The meaning of every primitive that stays in a plan, by name."""

from chainrule_server.engine.ops.arithmetic import ARITHMETIC
from chainrule_server.engine.ops.comparison import COMPARISON
from chainrule_server.engine.ops.contraction import CONTRACTION
from chainrule_server.engine.ops.decompositions import DECOMPOSITIONS
from chainrule_server.engine.ops.exponential import EXPONENTIAL
from chainrule_server.engine.ops.fourier import FOURIER
from chainrule_server.engine.ops.indexing import INDEXING
from chainrule_server.engine.ops.leaves import LEAVES
from chainrule_server.engine.ops.movement import MOVEMENT
from chainrule_server.engine.ops.order import ORDER
from chainrule_server.engine.ops.powers import POWERS
from chainrule_server.engine.ops.random import RANDOM
from chainrule_server.engine.ops.reduction import REDUCTION
from chainrule_server.engine.ops.solving import SOLVING
from chainrule_server.engine.ops.special import SPECIAL
from chainrule_server.engine.ops.structure import STRUCTURE
from chainrule_server.engine.ops.table import Op
from chainrule_server.engine.ops.triangular import TRIANGULAR
from chainrule_server.engine.ops.trigonometric import TRIGONOMETRIC
from chainrule_server.engine.ops.windows import WINDOWS

__all__ = ["OPS", "Op"]

OPS: dict[str, Op] = {
    op.name: op
    for family in (
        LEAVES,
        ARITHMETIC,
        EXPONENTIAL,
        POWERS,
        TRIGONOMETRIC,
        COMPARISON,
        MOVEMENT,
        CONTRACTION,
        REDUCTION,
        INDEXING,
        DECOMPOSITIONS,
        FOURIER,
        ORDER,
        SOLVING,
        SPECIAL,
        TRIANGULAR,
        WINDOWS,
        RANDOM,
        STRUCTURE,
    )
    for op in family
}
