"""The log, request ids, counters."""

import io
import json

from chainrule_server import telemetry


def test_an_event_is_one_json_line_with_time_level_and_room() -> None:
    stream = io.StringIO()
    telemetry.configure("info", stream)
    log = telemetry.logger("door")
    log.info("refused", reason="BAD_REF", request_id="00")
    log.debug("not shown")
    (line,) = stream.getvalue().splitlines()
    event = json.loads(line)
    assert event["event"] == "refused"
    assert (event["room"], event["level"], event["reason"]) == ("door", "info", "BAD_REF")
    assert event["timestamp"].endswith("Z")


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    telemetry.configure("error", stream)
    telemetry.logger("service").error("failed", exc_info=ValueError("two\nlines"))
    (line,) = stream.getvalue().splitlines()
    assert "two\\nlines" in line


def test_request_ids_are_128_bits() -> None:
    first, second = telemetry.new_request_id(), telemetry.new_request_id()
    assert first != second
    assert len(bytes.fromhex(first)) == 16


def test_counters_grow_by_name() -> None:
    counters = telemetry.Counters()
    counters.add("a")
    counters.add("a", 2)
    counters.add("b")
    assert counters.snapshot() == {"a": 3, "b": 1}


def test_only_short_scalars_of_facts_are_logged() -> None:
    facts = {"limit": 3, "text": "x", "chain": b"x", "value": 0.5, "missing": (b"x",)}
    assert telemetry.fact_fields(facts) == {"limit": 3, "value": 0.5}
