"""The client's cursor: read back, and read from another client's bytes."""

from chainrule.cursor import decode_cursor, encode_cursor
from chainrule.fitting import Place


def test_a_cursor_reads_back_and_another_client_s_is_a_beginning() -> None:
    graphs = {"f" * 16: "ab" * 32}
    cursor = encode_cursor(Place(3, 40), graphs)
    assert decode_cursor(cursor) == (Place(3, 40), {"f" * 16: bytes.fromhex("ab" * 32)})
    for other in (b"", b"\xff", b"[]", b'{"epoch": 1}', b'{"epoch":1,"row":2,"graphs":3}'):
        assert decode_cursor(other) == (Place(), {})
