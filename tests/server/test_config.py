"""Options, variables, and what a wrong one says."""

from pathlib import Path

import pytest

from chainrule_server.config import is_loopback, options, parse


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, _ in options():
        monkeypatch.delenv("CHAINRULE_" + name.removeprefix("--").replace("-", "_").upper(), False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as end:
        parse(argv)
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1, "one line"
    return text


def test_defaults_serve_this_machine_only(tmp_path: Path) -> None:
    settings = parse([])
    assert settings.listen == "127.0.0.1:50051"
    assert settings.is_loopback
    assert settings.has_reflection
    assert settings.data_dir == tmp_path / "chainrule"


def test_every_option_is_a_variable_and_the_command_line_wins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHAINRULE_WORKERS", "3")
    monkeypatch.setenv("CHAINRULE_INSECURE", "1")
    assert (parse([]).workers, parse([]).insecure) == (3, True)
    assert parse(["--workers", "5", "--no-insecure"]).workers == 5
    assert not parse(["--no-insecure"]).insecure


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--workers", "many"), ("--workers", "CHAINRULE_WORKERS", "'many'", "0: one a core")),
        (("--workers", "-1"), ("--workers", "'-1'")),
        (("--workrs", "2"), ("--workrs", "did you mean --workers?")),
        (("--workers=2", "--porte=5"), ("--porte", "'5'")),
        (("--listen", "nowhere"), ("--listen", "'nowhere'", "HOST:PORT")),
        (("--listen", "127.0.0.1:99999"), ("--listen", "99999")),
        (("--listen", "unix:relative"), ("--listen", "absolute")),
        (("--log-level", "loud"), ("--log-level", "'loud'", "debug, info")),
        (("--tls-cert", "/not/there"), ("--tls-cert", "no such file")),
        (("--data-dir",), ("--data-dir", "expected one argument")),
        (("--listen", "0.0.0.0:1"), ("0.0.0.0:1", "--tls-cert", "--token-file", "--insecure")),
    ],
)
def test_a_wrong_option_names_itself_its_value_and_the_cure(
    capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], words: tuple[str, ...]
) -> None:
    text = refused(capsys, *argv)
    for word in words:
        assert word in text, text


def test_a_wrong_variable_is_named_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_THREADS", "2")
    assert "CHAINRULE_THREADS" in refused(capsys)


def test_a_certificate_comes_with_its_key(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "cert").write_text("x")
    assert "--tls-key" in refused(capsys, "--tls-cert", str(tmp_path / "cert"))


def test_a_public_address_takes_tls_and_tokens_or_insecure(tmp_path: Path) -> None:
    for name in ("cert", "key", "tokens"):
        (tmp_path / name).write_text("x")
    argv = ["--listen", "0.0.0.0:1", "--tls-cert", f"{tmp_path}/cert"]
    argv += ["--tls-key", f"{tmp_path}/key", "--token-file", f"{tmp_path}/tokens"]
    settings = parse(argv)
    assert not settings.is_loopback
    assert not settings.has_reflection
    assert parse(["--listen", "0.0.0.0:1", "--insecure"]).insecure
    assert parse([*argv, "--reflection", "on"]).has_reflection


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("[::]", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_is_this_machine_only(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_help_ends_well_and_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(["--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name, _ in options())
