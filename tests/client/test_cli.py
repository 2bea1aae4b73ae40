"""The command line as a user meets it: real processes, their output and exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule.cli import main
from chainrule.cli.handing import missing_packages
from chainrule.cli.machine import cores, memory, port_owner
from chainrule.cli.screen import show_mark, show_table
from support.processes import server_process


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CHAINRULE_")}
    return subprocess.run(
        [sys.executable, "-m", "chainrule.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=kept | environment,
    )


def test_help_names_every_command_and_loads_neither_numpy_nor_grpc() -> None:
    check = (
        "import sys\nfrom chainrule.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted({'numpy', 'grpc', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    for command in ("serve", "demo", "replay", "status", "explain", "verify", "doctor"):
        assert f"\n    {command} " in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["stauts"], 2, "chainrule: command 'stauts' is unknown; did you mean status?"),
        (["qqq"], 2, "commands are serve, demo, replay, status, explain, verify, doctor"),
        (["status"], 1, "no server is named; give --address HOST:PORT"),
        (["status", "--address", "a b"], 1, "write it as localhost:50051"),
        (["explain", "sin(x)"], 1, "x has no value; give x=VALUE"),
        (["explain", "sin(x)", "x=1", "y=2"], 1, "y is not in the formula"),
        (["explain", "sin(x)", "x=one"], 1, "x is 'one', which is no number"),
        (["explain", "sin(x)", "x"], 1, "'x' is no NAME=VALUE"),
        (["explain", "sin(x)", "x=no.npy"], 1, "no.npy can't be read"),
        (["doctor", "--no"], 2, "unrecognized arguments: --no"),
    ],
)
def test_a_wrong_call_names_the_cure(
    arguments: list[str],
    code: int,
    text: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CHAINRULE_ADDRESS", raising=False)
    try:
        found = main(arguments)
    except SystemExit as ending:
        found = int(str(ending.code))
    assert found == code
    assert text in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"chainrule {cr.__version__}\n"


def test_explain_prints_the_chain_rule_and_writes_the_picture(
    client: cr.Client, tmp_path: Path
) -> None:
    picture = tmp_path / "g.svg"
    done = run("explain", "sin((2x + 1)^2)", "x=0.5", "--svg", str(picture))
    assert done.returncode == 0, done.stderr
    assert "-5.229148967" in done.stdout
    assert picture.read_text().startswith("<svg")


def test_verify_reports_the_worst_and_says_by_its_code_whether_derivatives_agree(
    tmp_path: Path,
) -> None:
    done = run("verify", "sin((2x + 1)^2) * y", "x=0.5", "y=3")
    assert done.returncode == 0, done.stderr
    assert "derivatives agree" in done.stdout
    assert "worst node" in done.stdout
    wrong = cr.custom_vjp(np.sin, lambda x, ct: 2 * ct * np.cos(x))
    cr.trace(lambda x: np.sum(wrong(x)), np.ones(3)).save(tmp_path / "wrong.graph")
    np.save(tmp_path / "x.npy", np.arange(3.0))
    done = run("verify", str(tmp_path / "wrong.graph"), f"args/0={tmp_path / 'x.npy'}")
    assert done.returncode == 1
    assert "DIFFERS" in done.stdout


def test_explain_takes_a_saved_graph_and_arrays(tmp_path: Path) -> None:
    cr.trace(lambda x: np.sum(x**2), np.ones(2)).save(tmp_path / "g.zip")
    np.save(tmp_path / "x.npy", np.array([1.0, 2.0]))
    done = run("explain", str(tmp_path / "g.zip"), f"args/0={tmp_path / 'x.npy'}")
    assert done.returncode == 0, done.stderr
    assert "ReduceSum" in done.stdout


def test_status_shows_a_server_and_its_sessions(tmp_path: Path) -> None:
    with server_process(tmp_path, workers=1) as address:
        with cr.connect(address) as client:
            client.create_session(
                lambda w, x: np.mean(x * w), 1.0, optimizer=cr.optim.sgd(0.1), name="shown"
            )
        text = run("status", CHAINRULE_ADDRESS=address)
        assert text.returncode == 0, text.stderr
        assert "1 workers" in text.stdout
        assert "shown" in text.stdout
        record = json.loads(run("status", "--json", "--address", address).stdout)
        assert record["server"]["workers"] == 1
        assert record["sessions"][0]["name"] == "shown"


def test_doctor_finds_this_machine_well() -> None:
    done = run("doctor", "--json")
    findings = json.loads(done.stdout)
    assert done.returncode == 0, findings
    assert {"python", "numpy", "grpc", "cores", "memory", "private", "gradient"} <= {
        f["name"] for f in findings
    }
    assert "everything works" in run("doctor").stdout


def test_doctor_names_a_server_that_doesn_t_answer() -> None:
    done = run("doctor", CHAINRULE_ADDRESS="127.0.0.1:1")
    assert done.returncode == 1
    assert "no server answers at 127.0.0.1:1" in done.stdout
    assert "1 of" in done.stdout


def test_a_base_install_names_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "structlog", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing_packages("serve") == ["grpc_health", "pydantic_settings", "structlog"]
    assert main(["demo"]) == 1
    assert 'pip install "chainrule[demo]"' in capsys.readouterr().err
    show_table(("a", "b"), [("1", "long cell")])
    show_mark("fail", "name", "text")
    assert capsys.readouterr().out == "a  b\n1  long cell\nFAIL name          text\n"


def test_serve_goes_on_in_the_same_process() -> None:
    done = run("serve", "--listen", "nowhere")
    assert done.returncode == 2
    assert "--listen" in done.stderr


def test_the_machine_is_measured() -> None:
    assert cores()[0] >= 1
    assert memory()[0] > 0
    assert port_owner(1) is None
