"""`chainrule`: finds the command and runs it. Commands import what they need, so help is quick."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from chainrule.errors import ChainruleError

# Of `chainrule_server`, in a process of its own: the arguments go through as they are.
HANDED_ON = {
    "serve": ("chainrule_server", "serve gradients until SIGTERM"),
    "demo": (
        "chainrule_server.demo",
        "train the example network on real digits, see the chain rule",
    ),
    "replay": (
        "chainrule_server.replay",
        "do a session's log again from its data folder, and confirm its receipts",
    ),
}
COMMANDS = {
    "status": "what a server is doing: version, workers, sessions",
    "explain": "the chain rule of a formula or a saved graph, node by node",
    "verify": "hold the derivatives of a formula or a saved graph against differences of values",
    "doctor": "check this machine, and a gradient from end to end",
}

_EPILOG = """\
chainrule COMMAND --help tells more. Servers are found by --address, CHAINRULE_ADDRESS (with
CHAINRULE_TOKEN and CHAINRULE_TLS_CA), or a private one is started for the command.
"""


class Parser(argparse.ArgumentParser):
    """argparse with the nearest known word in its refusals."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"{self.prog}: {message}; see {self.prog} --help\n")
        raise SystemExit(2)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; the exit code: 0 done, 1 it failed, 2 it was called wrongly."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in HANDED_ON:
        from chainrule.cli.handing import hand_on

        return hand_on(arguments[0], HANDED_ON[arguments[0]][0], arguments[1:])
    options = _parser(arguments).parse_args(arguments)
    try:
        return _run(options)
    except ChainruleError as error:
        sys.stderr.write(f"chainrule {options.command}: {error}\n")
        if error.request_id:
            sys.stderr.write(f"  request id {error.request_id}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe had enough; nothing of it is left to flush.
        sys.stderr.close()
        return 0


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "status":
            from chainrule.cli.status import run
        case "explain":
            from chainrule.cli.explain import run
        case "verify":
            from chainrule.cli.verify import run
        case _:
            from chainrule.cli.doctor import run
    return run(options)


def _parser(arguments: Sequence[str]) -> Parser:
    parser = Parser(
        prog="chainrule",
        description="Gradients as a service.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, text) in HANDED_ON.items():
        commands.add_parser(name, help=text, add_help=False)
    added = {name: commands.add_parser(name, help=text) for name, text in COMMANDS.items()}
    _add_server(added["status"])
    added["status"].add_argument("--json", action="store_true", help="for programs")
    _add_explain(added["explain"])
    _add_verify(added["verify"])
    added["doctor"].add_argument("--json", action="store_true", help="for programs")
    _check_command(parser, arguments)
    return parser


class _Version(argparse.Action):
    """The version, looked up only when it is asked for."""

    def __call__(self, *_: object) -> NoReturn:
        from chainrule.version import __version__

        sys.stdout.write(f"chainrule {__version__}\n")
        raise SystemExit(0)


def _check_command(parser: Parser, arguments: Sequence[str]) -> None:
    given = next((a for a in arguments if not a.startswith("-")), None)
    known = [*HANDED_ON, *COMMANDS]
    if given is not None and given not in known:
        import difflib

        near = difflib.get_close_matches(given, known, n=1)
        cure = f"did you mean {near[0]}?" if near else f"commands are {', '.join(known)}"
        parser.error(f"command {given!r} is unknown; {cure}")


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", help="HOST:PORT or unix:/PATH (CHAINRULE_ADDRESS)")
    parser.add_argument("--token", help="as the server's token file asks for (CHAINRULE_TOKEN)")
    parser.add_argument("--tls-ca", help="PEM file of the server's authority (CHAINRULE_TLS_CA)")


def _add_explain(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Shows every node's value, local derivative and cotangents. A FORMULA is arithmetic with "
        "sin, exp, log, tanh, ... as in 'sin((2*x + 1)^2)'; or give the file of a saved cr.Graph."
    )
    _add_formula(parser)
    parser.add_argument("--svg", metavar="FILE", help="also write the graph as a picture")
    parser.add_argument("--html", metavar="FILE", help="also write a page with picture and table")
    _add_server(parser)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Compares derivatives with central differences, extrapolated over several steps, and the "
        "two directions with each other; names the worst input and node. Exit code 1: they differ."
    )
    _add_formula(parser)
    parser.add_argument("--tolerance", type=float, help="relative; by default what dtypes allow")
    parser.add_argument("--seed", type=int, default=0, help="chooses the random directions")
    _add_server(parser)


def _add_formula(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("formula", metavar="FORMULA", help="a formula, or a file of Graph.save")
    parser.add_argument(
        "values",
        metavar="NAME=VALUE",
        nargs="*",
        help="a number, or a .npy file; of a saved graph the names are args/0, args/1, ...",
    )
