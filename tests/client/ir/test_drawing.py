"""Pictures are well-formed, whatever the names are, and every box lies below what it reads."""

from xml.etree import ElementTree

from chainrule.ir.drawing import Box, draw

NS = "{http://www.w3.org/2000/svg}"


def test_a_box_lies_below_what_it_reads_and_edges_join_them() -> None:
    boxes = (
        Box(0, "0 Input  x", "float64[]", "m.py:1", ()),
        Box(3, "3 Sin", "float64[]", "m.py:2", ((0, "cos(x)"),)),
        Box(4, "4 Mul  y<&>", "float64[]", "m.py:3", ((0, ""), (3, ""), (9, "no such box"))),
    )
    root = ElementTree.fromstring(draw(boxes))
    tops = [int(rect.attrib["y"]) for rect in root.iter(f"{NS}rect")]
    assert tops == sorted(set(tops))
    assert len(list(root.iter(f"{NS}path"))) == 1 + 3, "the arrow's head and three edges"
    shown = " ".join(root.itertext())
    assert "cos(x)" in shown
    assert "y<&>" in shown
    assert "no such box" not in shown


def test_what_reads_nothing_stands_above_its_first_reader() -> None:
    chain = [Box(0, "x", "", "", ()), *(Box(i, "f", "", "", ((i - 1, ""),)) for i in (1, 2, 3))]
    late = Box(4, "constant", "", "", ())
    last = Box(5, "g", "", "", ((3, ""), (4, "")))
    root = ElementTree.fromstring(draw((*chain, late, last)))
    tops = {text.text: int(text.attrib["y"]) for text in root.iter(f"{NS}text") if text.text}
    assert tops["f"] == tops["constant"] < tops["g"]


def test_nothing_is_a_picture_too() -> None:
    assert ElementTree.fromstring(draw(())).tag == f"{NS}svg"
