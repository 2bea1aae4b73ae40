"""Tokens: files, hashes, and one text for every refusal."""

import hashlib
from pathlib import Path

import pytest

from chainrule.errors import Unauthenticated
from chainrule_server.door.tokens import Tokens, make_token, read_token_file, single_token


def test_without_tokens_the_door_is_open() -> None:
    assert Tokens().tenant(None) == "default"


def test_a_made_token_opens_as_its_tenant(tmp_path: Path) -> None:
    token, line = make_token("lab")
    path = tmp_path / "tokens"
    path.write_text(
        f"# two tokens of one tenant, for an exchange\n\n{line}\n{make_token('lab')[1]}\n"
    )
    tokens = read_token_file(path)
    assert tokens.tenant(f"Bearer {token}") == "lab"
    assert tokens.tenant(f"bearer {token} ") == "lab"
    assert token not in path.read_text()


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic x", "x", "Bearer \x00"])
def test_everything_else_gets_one_text(header: str | None) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        single_token("secret").tenant(header)
    with pytest.raises(Unauthenticated) as other:
        single_token("secret").tenant("Bearer other")
    assert str(refusal.value) == str(other.value)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "lab\n", "lab:1234\n", "two words:" + "0" * 64, "lab:" + "g" * 64]
)
def test_a_file_that_lets_nobody_in_is_refused_without_its_content(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(ValueError, match="tokens") as refusal:
        read_token_file(path)
    assert "1234" not in str(refusal.value)


def test_a_plain_token_in_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(hashlib.sha256(b"x").hexdigest() + "\n")
    with pytest.raises(ValueError, match="--make-token"):
        read_token_file(path)


def test_a_name_that_would_break_the_line_is_refused() -> None:
    with pytest.raises(ValueError, match="A-Z"):
        make_token("a:b")
