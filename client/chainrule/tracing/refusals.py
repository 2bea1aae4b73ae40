"""Errors at the user's line: what can't be traced, why, and what to write instead."""

from chainrule.errors import ErrorCode, TraceError
from chainrule.tracing.source import user_source


def refuse(fact: str, cure: str) -> TraceError:
    """A TraceError at the user's line, ready to raise."""
    return TraceError(fact, code=ErrorCode.TRACE, line=user_source().text or None, cure=cure)


# By the hook that Python or NumPy calls.
HOLES: dict[str, tuple[str, str]] = {
    "__bool__": (
        "a traced value has no truth value: its numbers don't exist while the graph is made",
        "choose with np.where(condition, a, b)",
    ),
    "__float__": (
        "a traced value can't become a Python float: its numbers don't exist yet",
        "keep it an array and use np.* functions (math.* and float() need numbers)",
    ),
    "__int__": (
        "a traced value can't become a Python int: its numbers don't exist yet",
        "cast with .astype(np.int64)",
    ),
    "__complex__": (
        "a traced value can't become a complex number",
        "keep real and imaginary parts as two arrays",
    ),
    "__index__": (
        "a traced value can't index a NumPy array or count a loop: its numbers don't exist yet",
        "index a traced table, cr.asarray(table)[y], use cr.nn.one_hot(y, k) for np.eye(k)[y], "
        "and pass counts as static Python ints",
    ),
    "__array__": (
        "a traced value can't become a NumPy array: its numbers don't exist yet",
        "write np.stack([a, b]) for np.array([a, b]), np.broadcast_to(t, shape) for "
        "np.full(shape, t), cr.asarray(table)[y] for table[y], cr.nn.one_hot(y, k) for np.eye(k)[y]",
    ),
    "__setitem__": (
        "a traced value can't be written to",
        "make a new one with np.where(mask, new, old) or np.concatenate",
    ),
    "__delitem__": ("a traced value can't be written to", "slice it and np.concatenate the parts"),
    "__contains__": (
        "`in` needs the numbers of a traced value, which don't exist yet",
        "compare with == and reduce with np.any",
    ),
    "item": (
        "a traced value has no numbers to take out yet",
        "return it from the function and read it from the result",
    ),
    "tolist": (
        "a traced value has no numbers to take out yet",
        "return it from the function and read it from the result",
    ),
}


def hole(name: str) -> TraceError:
    """The refusal of one of Python's or NumPy's hooks."""
    return refuse(*HOLES[name])
