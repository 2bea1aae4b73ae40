"""Node, with grpc-js and the .proto files alone, gets from a saved graph what Python gets: the same bits."""

import base64
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from chainrule.tracing.spec import spec
from chainrule.tracing.trace import trace
from chainrule.wire.graph import graph_to_proto
from support.serving import serving

pytestmark = pytest.mark.foreign

SCRIPT = Path(__file__).with_name("gradient.js")
PROTOS = Path(__file__).resolve().parents[2] / "protos"


def f(x):  # type: ignore[no-untyped-def]  # a model as users write it
    """sum of sin((2x + 1)^2), the article's composition."""
    return np.sum(np.sin((2.0 * x + 1.0) ** 2))


def ask_node(address: str, graph: Path, x: np.ndarray, name: str = "args/0") -> dict[str, object]:
    """What gradient.js prints."""
    raw = base64.b64encode(x.astype("<f8").tobytes()).decode()
    done = subprocess.run(
        ["node", str(SCRIPT), address, str(PROTOS), str(graph)],
        input=json.dumps({name: {"dims": list(x.shape), "base64": raw}}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    """The saved graph of f at three points."""
    path = tmp_path / "graph.pb"
    traced = trace(f, spec((3,), np.float64))
    path.write_bytes(graph_to_proto(traced.graph).SerializeToString())
    return path


def test_node_gets_the_same_value_and_gradient(tmp_path: Path, graph: Path) -> None:
    x = np.array([-0.5, 0.25, 1.0])
    with serving(tmp_path) as scene:
        answer = ask_node(scene.app.address, graph, x)
    assert answer["code"] == 0, answer
    grad = np.frombuffer(base64.b64decode(str(answer["grad"])), "<f8")
    value = np.frombuffer(base64.b64decode(str(answer["value"])), "<f8")
    u = 2.0 * x + 1.0
    np.testing.assert_allclose(grad, 4.0 * u * np.cos(u**2), rtol=1e-14)
    np.testing.assert_allclose(value, [np.sum(np.sin(u**2))], rtol=1e-15)


def test_node_is_told_what_is_wrong_and_how_to_mend_it(tmp_path: Path, graph: Path) -> None:
    with serving(tmp_path) as scene:
        answer = ask_node(scene.app.address, graph, np.zeros(3), name="args/7")
    assert answer["code"] == 3  # INVALID_ARGUMENT, in every language
    assert "args/7" in str(answer["message"])
