"""Servers killed again and again in the middle of everything: nothing lost, nothing twice, the same bits.

The short run is part of the faults group. The long one:

    CHAINRULE_CHAOS_KILLS=1000 pytest tests/chaos -m faults -s        about 15 minutes

Its seed and the kills that are done lie in CHAINRULE_CHAOS_DIR (default: a temporary folder); with the same
folder it goes on where it was stopped.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chainrule_server.sessions.types import Durability
from support.chaos_child import script, undisturbed
from support.session_scene import Scene, equal

TESTS = Path(__file__).parent.parent
KILLS = int(os.environ.get("CHAINRULE_CHAOS_KILLS", "12"))
STEPS = 40
FAILPOINTS = (
    "create.before_rename",
    "create.after_rename",
    "open.before_log",
    "open.after_log",
    "commit.before_log",
    "commit.after_log",
    "commit.after_header",
    "any",
)


def life(data: Path, durability: Durability, seed: int, name: str, k: int) -> tuple[int, list[str]]:
    """How a server ended, and what it acknowledged before."""
    command = [sys.executable, "-m", "support.chaos_child", str(data), durability.name.lower()]
    done = subprocess.run(
        [*command, str(seed), str(STEPS), name, str(k)],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a long run keeps its place."""
    return Path(os.environ.get("CHAINRULE_CHAOS_DIR", str(tmp_path)))


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("durability", [Durability.PROCESS, Durability.DISK], ids=lambda d: d.name)
def test_killed_at_every_failpoint_a_script_ends_as_if_nothing_had_happened(
    durability: Durability, folder: Path
) -> None:
    place = folder / f"kills-{durability.name.lower()}"
    place.mkdir(parents=True, exist_ok=True)
    killed = int((place / "done").read_text()) if (place / "done").exists() else 0
    seed = killed
    while killed < KILLS:
        seed += 1
        draw = random.Random(seed)
        data, acknowledged, untold = place / "data", 0, 0
        shutil.rmtree(data, ignore_errors=True)
        ended = 1
        while ended != 0:
            is_over = killed >= KILLS
            name = "none" if is_over else draw.choice(FAILPOINTS)
            ended, lines = life(data, durability, seed, name, draw.randint(1, 30))
            killed += ended != 0
            told = [int(line.split()[0]) for line in lines]
            if told:
                # The last operation of each killed life may be in the log without having been told of.
                assert acknowledged < told[0] <= acknowledged + 1 + untold, (seed, told)
                assert told == list(range(told[0], told[-1] + 1)), (seed, told)
                acknowledged, untold = told[-1], 0
            untold += 1
        shutil.rmtree(place / "calm", ignore_errors=True)
        truth, chain = undisturbed(place / "calm", durability, seed, STEPS)
        scene = Scene(data)
        client = scene.open()
        # One chain: every operation was applied once, in its order, and none else.
        assert (client.seq, client.chain) == (STEPS + 1, chain), f"seed {seed}"
        assert equal(client.state(), truth), f"seed {seed}"
        scene.end()
        (place / "done").write_text(str(killed))


def test_the_script_has_every_operation_and_depends_on_nothing_but_its_seed() -> None:
    kinds = {kind for seed in range(20) for kind, _ in script(seed, STEPS)}
    assert kinds == {"step", "half", "update", "discard", "clear", "set", "save", "restore"}
    assert script(3, STEPS) == script(3, STEPS) != script(4, STEPS)
    assert script(3, 10) == script(3, STEPS)[:10]
