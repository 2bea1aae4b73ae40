"""Names on the wire: which are allowed, and the nearest known one to a wrong one."""

import difflib
import re
from collections.abc import Iterable

from chainrule.errors import ErrorCode, InvalidGraph

# Path components joined by "/": percent-encoded keys, [0] for a list item, (0) for a tuple item; "$key".
_NAME = re.compile(r"[A-Za-z0-9_.\-/$%~\[\]()]{1,256}\Z")


def check_name(name: str, what: str) -> str:
    """Refuse names that could confuse a reader, a log or a file system.

    Raises:
        InvalidGraph: anything outside the allowed characters or length (BAD_NAME).
    """
    if not _NAME.match(name):
        raise InvalidGraph(
            f"{what} {name[:64]!r} is no valid name",
            code=ErrorCode.BAD_NAME,
            cure="use 1 to 256 of A-Z a-z 0-9 _ . - / $ % [ ] ( ), other characters percent-encoded",
        )
    return name


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name nearest to a wrong one, None where nothing is near. Cost is bounded."""
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name[:64].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None
