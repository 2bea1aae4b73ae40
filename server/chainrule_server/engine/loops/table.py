"""The structure ops that have a derivative of their own, by name."""

from chainrule_server.engine.loops.cond import Cond
from chainrule_server.engine.loops.fixed_point import FixedPoint
from chainrule_server.engine.loops.inlined import Checkpoint, CustomVjp
from chainrule_server.engine.loops.rule import Rule
from chainrule_server.engine.loops.scan import Scan

RULES: dict[str, Rule] = {
    "Checkpoint": Checkpoint(),
    "CustomVjp": CustomVjp(),
    "Cond": Cond(),
    "Scan": Scan(),
    "FixedPoint": FixedPoint(),
}
# Those that stay in a plan; the others are put in place once all derivatives are taken.
LOOPS = ("Cond", "Scan", "FixedPoint")
