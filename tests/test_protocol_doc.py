"""docs/protocol.md says what the code does: its tables and test vectors are generated."""

from support.protocol_tables import DOC, PARTS, render


def test_generated_parts_are_those_of_the_code() -> None:
    text = DOC.read_text()
    assert all(f"<!-- begin {name} -->" in text for name in PARTS)
    assert text == render(text), "in tests/: python -m support.protocol_tables"
