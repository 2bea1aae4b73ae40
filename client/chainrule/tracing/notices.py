"""What a trace has to tell that is no error."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """One remark.

    Attributes:
        kind: PROMOTED: a captured float64 array made float32 values float64.
        text: for people.
        line: `model.py:12`.
    """

    kind: str
    text: str
    line: str
