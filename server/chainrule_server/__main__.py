"""`python -m chainrule_server`: one server in this process, until SIGTERM, SIGINT or its client's end."""

import os
import select
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from chainrule.errors import ChainruleError
from chainrule_server import telemetry
from chainrule_server.app import App, private_folder
from chainrule_server.config import Settings, parse
from chainrule_server.door.tokens import make_token

with suppress(ImportError):
    import setproctitle

_MAKE_TOKEN = "--make-token"


def main(argv: Sequence[str]) -> int:
    """Serve; the exit code: 0 after a drain, 1 when it can't start, 2 for a wrong option."""
    if argv[:1] == [_MAKE_TOKEN]:
        return _make_token(argv[1:])
    settings = parse(argv)
    telemetry.configure(settings.log_level)
    with suppress(NameError):
        setproctitle.setproctitle("chainrule: server")
    return serve(settings)


def serve(settings: Settings) -> int:
    """Run a server until it is told to stop."""
    stop = threading.Event()
    _on_signals(stop)
    folder = private_folder(settings)
    try:
        with App(settings) as app:
            if settings.client_pidfd is not None:
                _go_with(settings.client_pidfd, stop)
            stop.wait()
            app.drain()
    except (ChainruleError, ValueError) as error:
        sys.stderr.write(f"chainrule serve: {error}\n")
        return 1
    if folder is not None and _is_gone(settings.client_pidfd):
        # The client would have removed it, and can't any more.
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def _on_signals(stop: threading.Event) -> None:
    def told(number: int, frame: FrameType | None) -> None:
        del frame
        if stop.is_set():
            # The second one: now. What was acknowledged is in the log.
            os._exit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)


def _go_with(pidfd: int, stop: threading.Event) -> None:
    """End with the process behind a pidfd, however it ends; a fork of it doesn't count."""

    def watch() -> None:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll()
        stop.set()

    threading.Thread(target=watch, name="client-watch", daemon=True).start()


def _is_gone(pidfd: int | None) -> bool:
    if pidfd is None:
        return False
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _make_token(names: Sequence[str]) -> int:
    """Print a new token, and the line for --token-file that lets it in."""
    if len(names) != 1:
        sys.stderr.write(f"chainrule serve: {_MAKE_TOKEN} takes one NAME, the tenant\n")
        return 2
    try:
        token, line = make_token(names[0])
    except ValueError as error:
        sys.stderr.write(f"chainrule serve: {_MAKE_TOKEN} {error}\n")
        return 2
    sys.stdout.write(f"token (give it to the client, it is stored nowhere): {token}\n")
    sys.stdout.write(f"line for --token-file: {line}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
