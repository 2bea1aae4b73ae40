"""A server's life in a process of its own, with every operation there is, that ends when it is told to.

    python -m support.chaos_child DATA DURABILITY SEED STEPS FAILPOINT K

Goes on at the next operation of the session in DATA (makes it where there is none) and follows the script
that SEED gives, up to STEPS operations. Reaching FAILPOINT for the k-th time is the end by SIGKILL; `none`
lives on to the end. Each acknowledged operation is a line on stdout, `seq receipt`, written before the next.
"""

import os
import random
import signal
import sys
from pathlib import Path

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.ir.tensors import Array
from chainrule_server.sessions.types import Durability, OpReply
from support.session_scene import Client, Scene, caller


class Killer:
    """A failpoint that no process survives."""

    def __init__(self, name: str, k: int) -> None:
        self._name = name
        self._left = k

    def reach(self, name: str) -> None:
        """Count, and end at the k-th time."""
        if self._name in (name, "any"):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def script(seed: int, steps: int) -> list[tuple[str, int]]:
    """The operations of a life: a pure function of the seed, so that any process can go on with it."""
    draw, pending, saved = random.Random(seed), 0, 0
    found = []
    for _ in range(steps):
        kinds = ["half", "half"] if not pending else ["half", "update", "update", "discard"]
        kinds += ["save"] + ["restore"] * (saved > 0)
        kinds += [] if pending else ["step"] * 5 + ["set"]
        kind = draw.choice(kinds)
        number = draw.randrange(saved) if kind == "restore" else draw.randrange(50)
        if kind == "save":
            number, saved = saved, saved + 1
        found.append((kind, number))
        # A checkpoint may hold gradients, so what follows a restore begins with a clean slate.
        pending = {"half": pending + 1, "save": pending}.get(kind, 0)
        if kind == "restore":
            found.append(("clear", 0))
    return found[:steps]


def perform(client: Client, kind: str, number: int) -> OpReply | None:
    """One operation of the script."""
    match kind:
        case "step":
            return client.step(number)
        case "half":
            return client.forward_backward(number, weight=1 + number % 3)
        case "update":
            return client.optim_step()
        case "discard" | "clear":
            return client.discard_gradients()
        case "set":
            return client.set_state(params__b=np.array(number / 64))
        case "save":
            client.save(f"checkpoint-{number}")
            return None
        case _:
            (found,) = client.registry.checkpoints(caller(), name=f"checkpoint-{number}")
            return client.restore(found.digest)


def undisturbed(
    path: Path, durability: Durability, seed: int, steps: int
) -> tuple[dict[str, Array], bytes]:
    """State and chain after a script that nothing interrupts."""
    scene = Scene(path)
    client = scene.create(durability=durability)
    for kind, number in script(seed, steps):
        perform(client, kind, number)
    state = client.state()
    scene.end()
    return state, client.chain


def main(data: str, durability: str, seed: str, steps: str, name: str, k: str) -> None:
    """One life."""
    scene = Scene(Path(data), failpoints=Killer(name, int(k)))
    client = scene.create(durability=Durability[durability.upper()])
    if client.seq > 1:
        client = scene.open()
    operations = script(int(seed), int(steps))
    for kind, number in operations[client.seq - 1 :]:
        perform(client, kind, number)
        sys.stdout.write(f"{client.seq - 1} {client.chain.hex()}\n")
        sys.stdout.flush()
    scene.end()


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ChainruleError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        raise
