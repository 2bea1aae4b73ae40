"""The one table of reasons: total, with statuses that gRPC has and exceptions that say the same."""

import grpc
import pytest

from chainrule import errors
from chainrule.errors import (
    RETRY_OF,
    Applied,
    ChainruleError,
    ErrorCode,
    GraphError,
    NonFinite,
    Retry,
    ShapeMismatch,
    StepGap,
)

# Never raised without a reason of their own.
ROOTS = (ChainruleError, errors.RemoteError, errors.SessionError)


def classes(root: type[ChainruleError] = ChainruleError) -> list[type[ChainruleError]]:
    found = [root]
    for child in root.__subclasses__():
        found += classes(child)
    return found


@pytest.mark.parametrize("code", ErrorCode)
def test_every_reason_has_a_status_of_grpc_and_an_exception(code: ErrorCode) -> None:
    assert code.status in {status.name for status in grpc.StatusCode} - {"OK", "UNKNOWN"}
    assert issubclass(code.exception, ChainruleError)
    assert isinstance(code.exception("text", code=code).retry, Retry)


def test_reasons_are_told_apart_though_they_share_status_and_exception() -> None:
    assert len({code.value for code in ErrorCode}) == len(ErrorCode)
    assert list(ErrorCode) == list(ErrorCode.__members__.values())


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_every_exception_has_a_reason_that_comes_back_as_itself_or_an_ancestor(
    cls: type[ChainruleError],
) -> None:
    code = cls("text").code
    assert issubclass(cls, code.exception) or issubclass(code.exception, cls) or cls in ROOTS


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_the_tree_in_the_docstring_names_every_exception(cls: type[ChainruleError]) -> None:
    assert errors.__doc__ is not None
    assert cls.__name__ in errors.__doc__.split() or cls.__name__ in (
        "SessionError",
        "RemoteError",
        "NumericError",
    )


def test_text_says_where_what_and_the_cure() -> None:
    error = ShapeMismatch(
        "axes differ", node=17, label="MatMul", line="m.py:3", cure="transpose one", axis=2
    )
    assert str(error) == "node 17 (MatMul) at m.py:3: axes differ; transpose one"
    assert (error.fact, error.cure, error.facts) == ("axes differ", "transpose one", {"axis": 2})
    assert (error.code, error.retry, error.applied) == (
        ErrorCode.SHAPE_MISMATCH,
        Retry.FIX,
        Applied.NO,
    )


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({}, "bad"),
        ({"node": 0}, "node 0: bad"),
        ({"label": "h"}, "h: bad"),
        ({"line": "m.py:3"}, "at m.py:3: bad"),
        ({"label": "h", "line": "m.py:3", "cure": "mend it"}, "h at m.py:3: bad; mend it"),
    ],
)
def test_text_leaves_out_what_is_not_known(facts: dict[str, object], text: str) -> None:
    assert str(GraphError("bad", **facts)) == text  # type: ignore[arg-type]


def test_facts_that_come_later_show_in_the_text() -> None:
    error = NonFinite("the loss is NaN")
    error.node, error.label = 3, "Log"
    assert str(error) == "node 3 (Log): the loss is NaN"


def test_what_to_do_next_follows_from_the_reason() -> None:
    assert StepGap("x").retry is Retry.AFTER
    assert ChainruleError("x", code=ErrorCode.FENCED).retry is Retry.NEVER
    assert ChainruleError("x", code=ErrorCode.BAD_REF).retry is Retry.FIX
    assert ChainruleError("x", code=ErrorCode.FENCED, retry=Retry.REOPEN).retry is Retry.REOPEN
    assert RETRY_OF.keys() <= set(ErrorCode)


def test_numbers_are_part_of_the_protocol() -> None:
    assert [(r.name, r.value) for r in Retry] == [
        ("NEVER", 1),
        ("FIX", 2),
        ("SAME_BYTES", 3),
        ("AFTER", 4),
        ("REOPEN", 5),
    ]
    assert [(a.name, a.value) for a in Applied] == [("NO", 1), ("YES", 2), ("UNKNOWN", 3)]
