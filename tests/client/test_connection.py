"""Addresses, certificates, and what a failed connection means."""

import grpc
import pytest

from chainrule.connection import TLS, Address, channel_error, tls_of
from chainrule.errors import (
    ChainruleError,
    DeadlineExceeded,
    ErrorCode,
    ResponseTooLarge,
    Retry,
    ServerFault,
    TLSConfigError,
    Unavailable,
)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("localhost", "localhost:50051"),
        ("example.org:443", "example.org:443"),
        ("grpc://10.0.0.1:1", "10.0.0.1:1"),
        ("[::1]:50051", "[::1]:50051"),
        ("unix:/run/c.sock", "unix:/run/c.sock"),
    ],
)
def test_an_address_is_host_port_or_a_socket(text: str, target: str) -> None:
    assert Address.parse(text).target == target


@pytest.mark.parametrize("text", ["", "host:port", "host:0", "host:65536", "a b:1", "http://x:1/y"])
def test_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Unavailable, match="write it as localhost:50051"):
        Address.parse(text)


def test_what_is_on_this_machine_takes_no_proxy() -> None:
    local = ("localhost:1", "127.0.0.2:1", "[::1]:1", "unix:/s")
    assert all(Address.parse(text).is_local for text in local)
    assert not Address.parse("example.org:1").is_local


def test_tls_may_be_told_in_short() -> None:
    assert tls_of(None) is None
    assert tls_of(False) is None
    assert tls_of(True) == TLS()
    assert tls_of("ca.crt") == TLS(ca="ca.crt")
    assert tls_of(b"pem") == TLS(ca=b"pem")


def error(
    code: grpc.StatusCode, details: str, *, secure: bool = False, was_ready: bool = False
) -> ChainruleError:
    return channel_error(
        code,
        details,
        address=Address("h:1"),
        method="Step",
        timeout_s=2.0,
        secure=secure,
        was_ready=was_ready,
        closed=False,
    )


HANDSHAKE = (
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
    "Ssl handshake failed (TSI_PROTOCOL_FAILURE): certificate verify failed"
)


def test_a_failed_handshake_is_a_fault_of_configuration_until_one_has_worked() -> None:
    fresh = error(grpc.StatusCode.UNAVAILABLE, HANDSHAKE, secure=True)
    assert isinstance(fresh, TLSConfigError)
    assert fresh.retry is Retry.FIX
    later = error(grpc.StatusCode.UNAVAILABLE, HANDSHAKE, secure=True, was_ready=True)
    assert type(later) is Unavailable


def test_a_refused_connection_names_address_reason_and_command() -> None:
    details = "failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:1: refused"
    assert str(error(grpc.StatusCode.UNAVAILABLE, details)) == (
        "no server answers at h:1: refused; start one with `chainrule serve`, or check the address"
    )


@pytest.mark.parametrize(
    ("code", "details", "kind"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", DeadlineExceeded),
        (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "CLIENT: Received message larger than max (9 vs. 8)",
            ResponseTooLarge,
        ),
        (grpc.StatusCode.INTERNAL, "boom", ServerFault),
        (grpc.StatusCode.UNKNOWN, "boom", ServerFault),
    ],
)
def test_every_status_has_an_exception(
    code: grpc.StatusCode, details: str, kind: type[ChainruleError]
) -> None:
    assert type(error(code, details)) is kind


def test_every_status_of_grpc_becomes_one_of_ours() -> None:
    for code in grpc.StatusCode:
        found = error(code, "text")
        assert isinstance(found.code, ErrorCode)
        assert found.cure or found.fact
