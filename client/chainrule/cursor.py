"""The cursor of the client's own: what the server keeps with an operation, for whoever opens next."""

import json
from collections.abc import Mapping

from chainrule.fitting import Place


def encode_cursor(place: Place, graphs: Mapping[str, str]) -> bytes:
    """What the server keeps for whoever opens the session next: place in the data, forms of batches."""
    record = {"v": 1, "epoch": place.epoch, "row": place.row, "graphs": dict(graphs)}
    return json.dumps(record, separators=(",", ":"), sort_keys=True).encode()


def decode_cursor(cursor: bytes) -> tuple[Place, dict[str, bytes]]:
    """The parts of a cursor; a beginning where it is empty or another client's."""
    try:
        record = json.loads(cursor)
        graphs = {str(k): bytes.fromhex(v) for k, v in record["graphs"].items()}
        return Place(int(record["epoch"]), int(record["row"])), graphs
    except (ValueError, KeyError, TypeError, AttributeError):
        return Place(), {}
