"""The runs of the demo: two losses, several seeds, each a session on the server."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr
from chainrule_server.demo.digits import CLASSES, Digits
from chainrule_server.demo.network import cross_entropy, first_parameters, half_square, network

# Chosen on a fifth of the training data held out, never on the test set (98.0 % there).
LEARNING_RATE = 2e-2
BATCH = 128
EPOCHS = 40
# A step this small is as quick on one worker; cut in four, it shows the work being shared.
MICROSHARD = 32


@dataclass(frozen=True, slots=True)
class Task:
    """One of the two losses.

    Attributes:
        title: for people.
        loss: as a user writes it.
        one_hot: whether labels go in as rows of zeros and a one.
    """

    title: str
    loss: Callable[[Any, Any, Any], Any]
    one_hot: bool


TASKS = (
    Task("softmax cross-entropy", cross_entropy, one_hot=False),
    Task("half square", half_square, one_hot=True),
)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What one session came to.

    Attributes:
        seed: of its first parameters and the order of its data.
        history: every step.
        accuracy: share of the test set that is classified right, after training.
        workers_used: the most that a step used.
    """

    seed: int
    history: cr.History
    accuracy: float
    workers_used: int


def steps_per_run(digits: Digits, epochs: int) -> int:
    """Optimizer updates of one run."""
    return epochs * -(-len(digits.y_train) // BATCH)


def train(
    client: cr.Client,
    task: Task,
    digits: Digits,
    seed: int,
    epochs: int,
    progress: Callable[[cr.StepResult], None],
) -> Run:
    """One run, from first parameters to test accuracy."""
    y = np.eye(CLASSES)[digits.y_train] if task.one_hot else digits.y_train
    session = client.create_session(
        task.loss,
        first_parameters(seed),
        optimizer=cr.optim.adam(LEARNING_RATE),
        seed=seed,
        microshard=MICROSHARD,
        name=f"digits {task.title} seed {seed}".replace(" ", "-"),
    )
    used = [0]

    def told(event: cr.StepResult | cr.Epoch) -> None:
        if isinstance(event, cr.StepResult):
            used[0] = max(used[0], event.stats.workers_used)
            progress(event)

    history = session.fit(
        (digits.x_train, y), epochs=epochs, batch_size=BATCH, callbacks=[told], progress=False
    )
    scores = session.predict(network, digits.x_test)
    accuracy = float(np.mean(np.argmax(scores, axis=-1) == digits.y_test))
    session.close()
    return Run(seed, history, accuracy, used[0])
