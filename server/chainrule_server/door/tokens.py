"""Who calls: static tokens, kept as hashes, compared in constant time.

A file has one line a token, `NAME:SHA256HEX`; the name is the tenant, and two lines may share one, so that
tokens can be exchanged without a gap. Empty lines and lines that begin with # are left out. A token is
256 random bits, so a plain hash can't be searched; `make_token` makes one.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from chainrule.errors import Unauthenticated

HEADER = "authorization"
ANYBODY = "default"
_LINE = re.compile(r"(?P<name>[A-Za-z0-9_.\-]{1,64}):(?P<hash>[0-9a-fA-F]{64})\Z")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that open the door; without any the door is open.

    Attributes:
        entries: tenant and SHA-256 of the token.
    """

    entries: tuple[tuple[str, bytes], ...] = ()

    def tenant(self, header: str | None) -> str:
        """The tenant of a call.

        Args:
            header: the value of `authorization`, `Bearer TOKEN`; None where there was none.

        Raises:
            Unauthenticated: one text for every reason, so that nothing can be learned from it.
        """
        if not self.entries:
            return ANYBODY
        scheme, _, token = (header or "").partition(" ")
        given = hashlib.sha256(token.strip().encode()).digest()
        found = None
        # No early end: the time says nothing of which entry fits, or how far.
        for name, expected in self.entries:
            if hmac.compare_digest(given, expected) and scheme.lower() == "bearer":
                found = name
        if found is None:
            raise Unauthenticated(
                "the token is missing or not valid",
                cure="connect with token=..., or set CHAINRULE_TOKEN",
            )
        return found


def read_token_file(path: Path) -> Tokens:
    """The tokens of a file.

    Raises:
        ValueError: a line that is no entry, by number and never by content; or no entry at all.
    """
    entries = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.match(text)
        if match is None:
            raise ValueError(
                f"line {number} of {path} is not NAME:SHA256HEX; make one with"
                " `python -m chainrule_server --make-token NAME`"
            )
        entries.append((match["name"], bytes.fromhex(match["hash"])))
    if not entries:
        raise ValueError(f"{path} holds no token, so nobody could connect")
    return Tokens(tuple(entries))


def single_token(token: str) -> Tokens:
    """The tokens of a private server: its client's own."""
    return Tokens(((ANYBODY, hashlib.sha256(token.strip().encode()).digest()),))


def make_token(name: str) -> tuple[str, str]:
    """A new token and its line for the file.

    Raises:
        ValueError: the name is not 1 to 64 of A-Z a-z 0-9 _ . -
    """
    token = secrets.token_urlsafe(32)
    line = f"{name}:{hashlib.sha256(token.encode()).hexdigest()}"
    if _LINE.match(line) is None:
        raise ValueError(f"name {name!r}: use 1 to 64 of A-Z a-z 0-9 _ . -")
    return token, line
