"""What answers look like when they are printed."""

import numpy as np

from chainrule.results import SessionInfo, SessionList, _brief, durability_name, si, stats_text
from chainrule.wire.records import Resources


def test_values_are_brief() -> None:
    value = {"loss": np.float64(0.5), "w": [np.zeros((2, 3), np.float32)], "n": (np.array(3),)}
    assert _brief(value) == "{loss: 0.5, w: [float32[2,3]], n: (3)}"


def test_numbers_have_si_prefixes() -> None:
    assert [si(n) for n in (0.0, 999.0, 1_000.0, 2.5e9, 4e18)] == [
        "0 ",
        "999 ",
        "1 k",
        "2.5 G",
        "4e+03 P",
    ]


def test_workers_are_named_when_there_are_several() -> None:
    assert stats_text(Resources(wall_seconds=0.0123, workers_used=2)) == "12.3 ms on 2 workers"
    assert stats_text(Resources(wall_seconds=0.5, workers_used=1)) == "500 ms"


def test_sessions_print_as_a_table() -> None:
    sessions = SessionList(
        [
            SessionInfo("ab" * 16, "digits", 12, "process", False, 0.0),
            SessionInfo("cd" * 16, "", 3, "memory", True, 0.0),
        ]
    )
    lines = repr(sessions).splitlines()
    assert lines[0].split() == ["id", "name", "step", "durability"]
    assert lines[2].split() == ["cd" * 16, "-", "3", "memory", "closed"]
    assert repr(SessionList()) == "no sessions"


def test_a_level_of_a_newer_server_has_a_name_too() -> None:
    assert durability_name(2) == "process"
    assert durability_name(9) == "level 9"
