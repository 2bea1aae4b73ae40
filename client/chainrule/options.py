"""What any call takes beside its function and arguments, checked before anything is sent."""

import math
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, GraphError

# What a field of 64 bits holds.
_END = 2**64


@dataclass(frozen=True, slots=True)
class Options:
    """What any call takes.

    Attributes:
        timeout_s: for everything, uploads and resends included.
        max_bytes: refuse a plan whose peak is larger; None: the server's bound.
        seed: of random draws.
        max_flops: refuse a plan of more operations; None: no such bound.

    Raises:
        GraphError: a value that can't be sent.
    """

    timeout_s: float = 60.0
    max_bytes: int | None = None
    seed: int = 0
    max_flops: float | None = None

    def __post_init__(self) -> None:
        seconds: Any = self.timeout_s
        if not isinstance(seconds, int | float | np.number) or not 0 < seconds < math.inf:
            raise GraphError(
                f"timeout_s is {seconds!r}",
                code=ErrorCode.BAD_FIELD,
                field="timeout_s",
                cure="give seconds above 0",
            )
        if self.max_bytes is not None:
            whole_number(self.max_bytes, "max_bytes", 1)
        whole_number(self.seed, "seed")
        flops: Any = self.max_flops
        if flops is not None and not (isinstance(flops, int | float | np.number) and flops > 0):
            raise GraphError(
                f"max_flops is {flops!r}",
                code=ErrorCode.BAD_FIELD,
                field="max_flops",
                cure="give a number of operations above 0",
            )


def whole_number(value: Any, name: str, least: int = 0) -> int:
    """The value as an int that a message can hold.

    Raises:
        GraphError: it is none.
    """
    try:
        number = index(value)
    except TypeError:
        number = -1
    if not least <= number < _END:
        raise GraphError(
            f"{name} is {value!r}",
            code=ErrorCode.BAD_FIELD,
            field=name,
            cure=f"give a whole number from {least} to 2**64 - 1",
        )
    return number
