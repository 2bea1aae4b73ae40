"""A log done again in another process: confirmed, or stopped at the first operation that differs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from support.network import batch_of, golden, loss

RECORD = golden()


def replayed(data: Path, session: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "chainrule_server.replay", "--data-dir", str(data)]
    done = subprocess.run([*command, session], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.faults
def test_a_log_is_confirmed_and_a_changed_batch_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with cr.connect("local", workers=2, data_dir=data) as client:
        session = client.create_session(
            loss, RECORD["params"], optimizer=cr.optim.adam(0.05), durability="disk", name="proven"
        )
        for k in range(4):
            session.step(*batch_of(RECORD, k))
        session.save("four")
        session.forward_backward(*batch_of(RECORD, 4))
        session.optim_step()
        session.restore("four")
        receipt = session.step(*batch_of(RECORD, 5)).receipt
        code, said = replayed(data, "proven")
        assert (code, receipt in said) == (0, True), said
        assert "operations 1 to 9" in said
        other = client.create_session(
            lambda w, x: np.mean((x * w) ** 2), np.ones(3), optimizer=cr.optim.sgd(0.1)
        )
        assert "keeps no batches" in replayed(data, other.id)[1]
    assert replayed(data, "nobody")[0] == 1
    (batches,) = data.glob("sessions/*/*/batches-0")
    whole = bytearray(batches.read_bytes())
    whole[-9] ^= 1
    batches.write_bytes(bytes(whole))
    code, said = replayed(data, "proven")
    assert code == 1
    assert "missing or damaged" in said
