"""`chainrule explain`: the chain rule of a formula or a saved graph."""

import argparse

from chainrule.cli.asked import function_and_arguments
from chainrule.cli.screen import say
from chainrule.cli.server import client_of


def run(options: argparse.Namespace) -> int:
    """Asks the server and prints its table."""
    f, arguments = function_and_arguments(options)
    with client_of(options) as client:
        explanation = client.explain(f, *arguments, wrt=tuple(range(len(arguments))))
    say(explanation.to_text().rstrip())
    for target in (options.svg, options.html):
        if target:
            explanation.save(target)
            say(f"written: {target}")
    return 0
