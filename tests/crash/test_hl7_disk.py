# SPDX-License-Identifier: MIT
"""HL7 on a disk that fails: what is not durable is not acknowledged, and who sends again makes no second order."""
import time

import pytest

from conftest import free_port
from disk import Disk
from mllp import Sender, orm, pid
from test_hl7 import worklist


def send_until_accepted(port, message, timeout=60):
    """As a sender does that keeps what was not accepted; the codes of the answers."""
    codes = []
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            with Sender(port) as sender:
                answer = sender.send(message)
        except OSError:
            answer = None
        codes.append(answer.code if answer else None)
        if codes[-1] == "AA":
            return codes
        if answer:
            assert codes[-1] == "AE" and answer.errors[0][1] == "207", answer
        time.sleep(0.1)
    raise AssertionError(f"never accepted: {codes[-10:]}")


@pytest.mark.parametrize("rule", [("fdatasync,fsync", ".log", "EIO", 0, 1), ("write", ".log", "ENOSPC", 0, 1)],
                         ids=["sync-EIO", "write-ENOSPC"])
def test_HL7_09_a_fault_of_the_disk_is_207_and_sending_again_is_safe(start_server, tmp_path, rule):
    disk = Disk(tmp_path)
    port = free_port()
    server = start_server({"log": "info", "data": {"restartAfterFailure": True}, "hl7": {"port": port}}, disk.env)
    orders = [orm(f"O{i}", patient=pid(f"P{i}"), control_id=f"C{i}", version="2.5.1") for i in range(3)]
    assert send_until_accepted(port, orders[0]) == ["AA"]
    disk.set(rule)
    with Sender(port) as sender:
        answer = sender.send(orders[1])
    assert answer.code == "AE" and answer.errors[0][1] == "207" and disk.acts(), answer
    disk.set()
    send_until_accepted(port, orders[1])
    assert send_until_accepted(port, orders[2])[-1] == "AA"
    assert send_until_accepted(port, orders[0]) == ["AA"]
    assert sorted(str(entry.PatientID) for entry in worklist(server)) == ["P0", "P1", "P2"]
