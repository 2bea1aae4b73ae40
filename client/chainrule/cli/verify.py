"""`chainrule verify`: the derivatives of a formula or a saved graph, held against differences of values."""

import argparse

from chainrule.cli.asked import function_and_arguments
from chainrule.cli.screen import say
from chainrule.cli.server import client_of


def run(options: argparse.Namespace) -> int:
    """Asks the server and prints its report; 1 where derivatives differ."""
    f, arguments = function_and_arguments(options)
    with client_of(options) as client:
        report = client.verify(f, *arguments, tolerance=options.tolerance, seed=options.seed)
    say(report.to_text())
    return 0 if report.ok else 1
