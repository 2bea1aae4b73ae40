"""Every setting of the server. Nothing else reads the environment or the command line.

An option `--data-dir` is also the variable CHAINRULE_DATA_DIR; the command line wins. A wrong one ends the
process with exit code 2 and one line that names the option, its value and the cure.
"""

import argparse
import difflib
import ipaddress
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "CHAINRULE_"
_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.\-]+):(?P<port>[0-9]{1,5})\Z")


def _state_home() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "chainrule"


class Settings(BaseSettings):
    """The options of `chainrule serve`; each description is what to give."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    listen: str = Field(
        "127.0.0.1:50051", description="HOST:PORT (port 0: a free one) or unix:/PATH"
    )
    health_listen: str = Field(
        "127.0.0.1:50052", description="HOST:PORT of the health service's own port, or off"
    )
    workers: int = Field(
        0, ge=0, le=1024, description="worker processes; 0: one a core that the process may use"
    )
    data_dir: Path = Field(
        default_factory=_state_home, description="folder for sessions and objects"
    )
    tls_cert: Path | None = Field(None, description="PEM file with the certificate chain")
    tls_key: Path | None = Field(None, description="PEM file with the private key")
    token_file: Path | None = Field(
        None, description="file with lines NAME:SHA256HEX (docs/operations.md, Tokens)"
    )
    token_fd: int | None = Field(
        None, ge=3, description="open file descriptor with the one token of a private server"
    )
    client_pidfd: int | None = Field(
        None, ge=3, description="pidfd of the client that a private server goes with"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="one of debug, info, warning, error"
    )
    insecure: bool = Field(False, description="allow a public address without TLS and tokens")
    reflection: Literal["auto", "on", "off"] = Field(
        "auto", description="auto (on when bound to loopback), on or off"
    )
    max_nodes: int = Field(20_000, ge=1, le=10**7, description="rows that a graph may have")
    max_bytes: int = Field(
        0, ge=0, description="bytes of all calls in flight; 0: 70 % of the memory limit"
    )
    object_quota_bytes: int = Field(
        16 * 2**30, ge=2**20, description="bytes of stored objects a tenant may have, from 1 MiB"
    )
    threads: int = Field(128, ge=8, le=4096, description="calls served at once, 8 to 4096")
    grace_s: float = Field(
        25.0, ge=0, le=3600, description="seconds that running calls get after SIGTERM"
    )

    @field_validator("listen")
    @classmethod
    def _is_listen(cls, value: str) -> str:
        if value.startswith("unix:"):
            return _is_socket_path(value)
        return _is_host_port(value)

    @field_validator("health_listen")
    @classmethod
    def _is_health(cls, value: str) -> str:
        return value if value == "off" else _is_host_port(value)

    @field_validator("tls_cert", "tls_key", "token_file")
    @classmethod
    def _is_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("there is no such file")
        return value

    @model_validator(mode="after")
    def _is_safe(self) -> "Settings":
        if (self.tls_cert is None) != (self.tls_key is None):
            given, other = ("tls-cert", "tls-key") if self.tls_cert else ("tls-key", "tls-cert")
            raise ValueError(f"--{given} without --{other}; give both files")
        if not self.is_loopback and not self.insecure:
            missing = [
                name
                for name, have in (
                    ("--tls-cert and --tls-key", self.tls_cert),
                    ("--token-file", self.token_file),
                )
                if have is None
            ]
            if missing:
                raise ValueError(
                    f"--listen {self.listen}: the address is reachable from other machines;"
                    f" give {' and '.join(missing)}, or --insecure to serve anybody"
                )
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.listen.startswith("unix:") or is_loopback(self.listen.rpartition(":")[0])

    @property
    def has_reflection(self) -> bool:
        """Whether reflection is served."""
        return self.reflection == "on" or (self.reflection == "auto" and self.is_loopback)


def parse(argv: Sequence[str]) -> Settings:
    """The settings of this process from command line and environment.

    Exits with code 2 and one line on stderr when an option is wrong.
    """
    parser = _parser()
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        _refuse(_unknown_text(unknown[0]))
    values = {name: value for name, value in vars(given).items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        _refuse(_error_text(error))


def options() -> tuple[tuple[str, str], ...]:
    """Every option and what to give, for the documentation and its test."""
    return tuple(
        (_flag(name), str(field.description)) for name, field in Settings.model_fields.items()
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own, seen from nowhere else."""
    host = host.strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _refuse(f"{message}; see --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="chainrule serve",
        description="Serve gradients. Each option is also a variable, CHAINRULE_DATA_DIR.",
        allow_abbrev=False,
    )
    for name, field in Settings.model_fields.items():
        kind: dict[str, Any] = {"metavar": name.rpartition("_")[2].upper()}
        if field.annotation is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        text = str(field.description).replace("%", "%%")
        default = field.get_default(call_default_factory=True)
        shown = "" if default in (None, False) else f" (default {default})"
        parser.add_argument(_flag(name), dest=name, default=None, help=text + shown, **kind)
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _error_text(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    fact = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return fact
    name = str(first["loc"][0])
    cure = Settings.model_fields[name].description
    return f"{_flag(name)} ({PREFIX}{name.upper()}) {first['input']!r}: {fact}; give {cure}"


def _unknown_text(argument: str) -> str:
    name, _, value = argument.partition("=")
    near = difflib.get_close_matches(name, [flag for flag, _ in options()], n=1)
    cure = f"did you mean {near[0]}?" if near else "--help lists the options"
    shown = f" with the value {value!r}" if value else ""
    return f"option {name!r}{shown} is unknown; {cure}"


def _refuse(text: str) -> NoReturn:
    sys.stderr.write(f"chainrule serve: {text}\n")
    raise SystemExit(2)


def _is_host_port(value: str) -> str:
    match = _HOST_PORT.match(value)
    if match is None or int(match["port"]) > 65535:
        raise ValueError("this is no HOST:PORT")
    return value


def _is_socket_path(value: str) -> str:
    # sun_path has 108 bytes with its final zero.
    path = value.removeprefix("unix:")
    if not path.startswith("/") or len(path.encode()) > 107:
        raise ValueError("a socket's path is absolute and has at most 107 bytes")
    return value
