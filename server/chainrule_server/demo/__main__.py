"""`chainrule demo`: a private server trains the example network on handwritten digits."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import chainrule as cr
from chainrule_server.demo.digits import Digits, load_digits
from chainrule_server.demo.network import composition
from chainrule_server.demo.picture import draw
from chainrule_server.demo.training import EPOCHS, TASKS, Run, Task, steps_per_run, train

_POINT = 0.5


def main(argv: Sequence[str]) -> int:
    """Runs the demo; 0 when it reached its end."""
    options = _parser().parse_args(argv)
    console = Console(highlight=False)
    begin = time.perf_counter()
    digits = load_digits()
    try:
        with cr.connect("local", workers=options.workers) as client:
            _introduce(console, client, digits)
            _show_chain_rule(console, client)
            runs = {
                task.title: _train_all(console, client, task, digits, options) for task in TASKS
            }
        _show_accuracy(console, runs)
        draw(runs, options.output)
    except cr.ChainruleError as error:
        console.print(f"[bold red]chainrule demo:[/] {error}")
        return 1
    console.print(f"\nlearning curves: [bold]{options.output.resolve()}[/]", soft_wrap=True)
    console.print(f"done in {time.perf_counter() - begin:.0f} s")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chainrule demo", description=__doc__)
    parser.add_argument("--seeds", type=_positive, default=5, help="runs of each loss (default 5)")
    parser.add_argument(
        "--epochs", type=_positive, default=EPOCHS, help=f"passes over the data (default {EPOCHS})"
    )
    parser.add_argument("--workers", type=_positive, help="worker processes (default: one a core)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("demo-curve.png"),
        help="where the picture goes (default demo-curve.png)",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return number


def _introduce(console: Console, client: cr.Client, digits: Digits) -> None:
    info = client.info()
    console.print("[bold]chainrule[/]: gradients as a service\n")
    console.print(
        f"A private server runs on this machine: chainrule {info.version}, "
        f"{info.workers} workers, NumPy {info.numerics.numpy_version}."
    )
    console.print("It gets models as graphs and batches as arrays; no code of yours runs there.\n")
    console.print(
        f"Data: {len(digits.y_train)} handwritten digits to train on, {len(digits.y_test)} to test,"
        " 8 x 8 pixels (UCI optdigits, E. Alpaydin and C. Kaynak, CC BY 4.0)."
    )


def _show_chain_rule(console: Console, client: cr.Client) -> None:
    console.rule("the chain rule, node by node", align="left")
    explanation = client.explain(composition, _POINT)
    closed = 4 * (2 * _POINT + 1) * np.cos((2 * _POINT + 1) ** 2)
    console.print(f"y = sin((2x + 1)^2) at x = {_POINT}, explained by the server:\n")
    console.print(explanation.to_text().rstrip(), markup=False, soft_wrap=True)
    console.print(f"\n4 (2x + 1) cos((2x + 1)^2) = {closed:.9f}, the closed form\n")


def _train_all(
    console: Console, client: cr.Client, task: Task, digits: Digits, options: argparse.Namespace
) -> list[Run]:
    console.rule(f"{task.title}, {options.seeds} seeds", align="left")
    runs = []
    columns = (
        TextColumn("seed {task.fields[seed]}"),
        BarColumn(32),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("{task.fields[outcome]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        total = steps_per_run(digits, options.epochs)
        for seed in range(options.seeds):
            bar = progress.add_task("", total=total, seed=seed, loss=float("nan"), outcome="")

            def told(result: cr.StepResult, bar: object = bar) -> None:
                progress.update(bar, advance=1, loss=result.loss)  # type: ignore[arg-type]

            run = train(client, task, digits, seed, options.epochs, told)
            progress.update(bar, outcome=f"test accuracy {100 * run.accuracy:.1f} %")
            runs.append(run)
    return runs


def _show_accuracy(console: Console, runs: dict[str, list[Run]]) -> None:
    table = Table(title="accuracy on the test set", title_justify="left")
    table.add_column("loss")
    table.add_column("mean", justify="right")
    table.add_column("lowest", justify="right")
    table.add_column("highest", justify="right")
    table.add_column("workers used", justify="right")
    for title, of_title in runs.items():
        found = [100 * run.accuracy for run in of_title]
        table.add_row(
            title,
            f"{np.mean(found):.1f} %",
            f"{min(found):.1f} %",
            f"{max(found):.1f} %",
            str(max(run.workers_used for run in of_title)),
        )
    console.print()
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
