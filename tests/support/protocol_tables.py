"""The generated parts of docs/protocol.md; `python -m support.protocol_tables` (in tests/) writes them.

A part stands between `<!-- begin NAME -->` and `<!-- end NAME -->`.
"""

import re
from pathlib import Path

import numpy as np

from chainrule.calls import CALLS
from chainrule.errors import RETRY_OF, ErrorCode, Retry
from chainrule.ir import canonical
from chainrule.ir.tensors import encode_tensor, tensor_digest
from support.sample_graphs import article, mean_square

DOC = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"


def errors() -> str:
    """Reason, status, exception, what to do."""
    rows = [
        f"| `{code.name}` | {code.status} | `{code.exception.__name__}` "
        f"| {RETRY_OF.get(code, Retry.FIX).name} |"
        for code in ErrorCode
    ]
    return "\n".join(["| reason | status | exception | retry |", "|---|---|---|---|", *rows])


def calls() -> str:
    """Method, bounds, deadline, how to resend."""
    rows = [
        f"| `{call.service.rpartition('.')[2]}/{call.method}` | {call.request_bytes:,} "
        f"| {call.reply_bytes:,} | {call.deadline_s:g} | {call.resend.name} |"
        for call in CALLS.values()
    ]
    head = "| call | request, bytes | answer, bytes | client's deadline, s | resend |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def vectors() -> str:
    """Canonical forms and digests of two graphs, objects and digests of two tensors."""
    lines = ["```"]
    for name, graph in (("article", article()), ("mean_square", mean_square())):
        lines += [
            f"graph {name}",
            canonical.encode(graph).hex(),
            f"digest {canonical.digest(graph).hex()}",
        ]
    for text, array in (
        ("float64 scalar 0.7", np.array(0.7)),
        ("int32 (2, 3) 0..5", np.arange(6, dtype=np.int32).reshape(2, 3)),
    ):
        lines += [
            f"tensor {text}",
            encode_tensor(array).hex(),
            f"digest {tensor_digest(array).hex()}",
        ]
    return "\n".join([*lines, "```"])


PARTS = {"errors": errors, "calls": calls, "vectors": vectors}


def render(text: str) -> str:
    """The document with its generated parts as they must be."""
    for name, part in PARTS.items():
        pattern = re.compile(f"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        found = pattern.search(text)
        if found is not None:
            body = f"{found[1]}{part()}\n{found[2]}"
            text = text[: found.start()] + body + text[found.end() :]
    return text


if __name__ == "__main__":
    DOC.write_text(render(DOC.read_text()))
