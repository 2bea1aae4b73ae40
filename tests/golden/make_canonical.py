"""Writes canonical.json: graphs as text with their canonical bytes and digest.

The bytes are put together here by hand, from the specification in docs/protocol.md alone, so that the
file doesn't only say what the code does. Run it from the root: `python tests/golden/make_canonical.py`.
"""

import hashlib
import json
import struct
from pathlib import Path

MAGIC = b"chainrule.graph.v1\0"
FLOAT64, FLOAT32, INT64 = 1, 2, 3


def varint(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def text(value: str) -> bytes:
    """Length and UTF-8."""
    return varint(len(value.encode())) + value.encode()


def aval(dtype: int, *dims: int | str) -> bytes:
    """u8 dtype, rank, dims; "3N" is the dimension 3*N."""
    out = bytes([dtype]) + varint(len(dims))
    for dim in dims:
        out += varint(2 * int(dim[:-1]) + 1 if isinstance(dim, str) else 2 * dim)
    return out


def zigzag(value: int) -> int:
    """0, -1, 1, -2 ... as 0, 1, 2, 3 ..."""
    return 2 * value if value >= 0 else -2 * value - 1


def integer(value: int) -> bytes:
    """An int attribute."""
    return b"\x02" + varint(zigzag(value))


def dims(*values: int | str) -> bytes:
    """A tuple attribute; "-1N" is the multiple -1 of N."""
    out = b"\x07" + varint(len(values))
    for v in values:
        out += varint(2 * zigzag(int(v[:-1])) + 1 if isinstance(v, str) else 2 * zigzag(v))
    return out


def data(value: bytes) -> bytes:
    """A bytes attribute."""
    return b"\x05" + varint(len(value)) + value


def row(op: str, distances: list[int], attrs: dict[str, bytes], shape: bytes) -> bytes:
    """A node; a distance is row - input."""
    out = text(op) + varint(len(distances)) + b"".join(map(varint, distances))
    out += varint(len(attrs))
    for name in sorted(attrs):
        out += text(name) + attrs[name]
    return out + shape


def function(rows: list[bytes], outputs: dict[str, int]) -> bytes:
    """Rows, then outputs."""
    ends = b"".join(varint(at) + text(name) for name, at in outputs.items())
    return varint(len(rows)) + b"".join(rows) + varint(len(outputs)) + ends


def leaf(name: str, shape: bytes) -> bytes:
    """An input."""
    return row("Input", [], {"name": b"\x04" + text(name)}, shape)


def graphs() -> dict[str, bytes]:
    """The canonical bytes of every example."""
    scalar = aval(FLOAT64)
    sine = function([leaf("args/0", scalar), row("Sin", [1], {}, scalar)], {"out": 1})
    batch = aval(FLOAT32, "1N", 3)
    mean = function(
        [
            leaf("x", batch),
            row("ReduceSum", [1], {"axes": dims(0, -1), "keepdims": b"\x00"}, aval(FLOAT32)),
            row("DimSize", [], {"k": integer(1)}, aval(INT64)),
            row("Cast", [1], {"dtype": b"\x06\x02"}, aval(FLOAT32)),
            row("Div", [3, 1], {}, aval(FLOAT32)),
        ],
        {"loss": 4},
    )
    constant = {"dtype": b"\x06\x01", "shape": dims(), "data": data(struct.pack("<d", 1.0))}
    gradient = function(
        [
            leaf("args/0", scalar),
            row("Constant", [], constant, scalar),
            row("Vjp", [2, 1], {"function": integer(0), "outs": dims(0), "wrt": dims(0)}, scalar),
            row("Item", [1], {"index": integer(1)}, scalar),
        ],
        {"value/out": 2, "grad/args/0": 3},
    )
    shifted = function(
        [
            leaf("x", aval(FLOAT64, "2N")),
            row(
                "Pad",
                [1],
                {"low": dims("1N"), "high": dims("-1N"), "interior": dims(0)},
                aval(FLOAT64, "2N"),
            ),
            row("Expand", [1], {"shape": dims(300, "2N")}, aval(FLOAT64, 300, "2N")),
        ],
        {"out": 2},
    )
    return {
        "sine": MAGIC + varint(1) + sine,
        "mean": MAGIC + varint(1) + mean,
        "gradient": MAGIC + varint(2) + sine + gradient,
        "multiples of N": MAGIC + varint(1) + shifted,
    }


def document() -> str:
    """The file's text."""
    rows = {
        name: {"hex": made.hex(), "sha256": hashlib.sha256(made).hexdigest()}
        for name, made in graphs().items()
    }
    return json.dumps(rows, indent=1) + "\n"


if __name__ == "__main__":
    Path(__file__).with_name("canonical.json").write_text(document())
