"""An explanation as text, picture and page."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from chainrule.explanation import ExplainedEdge, ExplainedNode, Explanation, number_text


def scalar(x: float) -> np.ndarray[Any, np.dtype[Any]]:
    return np.asarray(x)


EXPLANATION = Explanation(
    nodes=(
        ExplainedNode(0, "Input", "x", "m.py:1", "float64[]", scalar(0.5), scalar(-2.0), ()),
        ExplainedNode(1, "Constant", "", "", "float64[]", scalar(2.0), None, ()),
        ExplainedNode(
            2,
            "Mul",
            "y<&>",
            "m.py:2",
            "float64[]",
            scalar(1.0),
            scalar(1.0),
            (ExplainedEdge(0, "ct * x", scalar(2.0), scalar(-2.0)),),
        ),
    ),
    text="the table",
)


def test_the_picture_is_well_formed_and_shows_values_and_derivatives() -> None:
    svg = EXPLANATION.to_svg()
    root = ElementTree.fromstring(svg)
    shown = " ".join(root.itertext())
    assert "0.5" in shown
    assert "ct * x = 2" in shown
    assert "y<&>" in shown
    assert "Constant" not in shown
    assert "script" not in svg


def test_the_page_holds_both(tmp_path: Path) -> None:
    page = EXPLANATION.to_html()
    assert page == EXPLANATION._repr_html_()
    assert "the table" in page
    assert repr(EXPLANATION) == EXPLANATION.to_text() == "the table"
    for name, begin in (("g.svg", "<svg"), ("g.html", "<div"), ("g.txt", "the table")):
        EXPLANATION.save(tmp_path / name)
        assert (tmp_path / name).read_text().startswith(begin)
    assert len(EXPLANATION) == 3


def test_arrays_are_short() -> None:
    assert number_text(None) == "-"
    assert number_text(np.array([1.0, 2.5])) == "[1, 2.5]"
    assert number_text(np.arange(5.0)) == "[0, 1, 2, ...]"
