# SPDX-License-Identifier: MIT
"""What peers are told of performed steps (PS3.4 F.9)."""
import threading

import requests
from pynetdicom import AE, evt

from conftest import free_port
from test_mpp import Modality, ending, performed
from web import new_uid

EVENTS = "1.2.840.10008.3.1.2.3.5"


class Listener:
    """A peer that is told (pynetdicom)."""

    def __init__(self, port, title="RIS"):
        self.port, self.title = port, title
        self.events = []
        self.unwanted = None  # at this instance it hangs up
        self.changed = threading.Condition()
        self.open()

    def open(self):
        ae = AE(ae_title=self.title)
        ae.add_supported_context(EVENTS, scu_role=False, scp_role=True)
        self.scp = ae.start_server(("127.0.0.1", self.port), block=False, evt_handlers=[
            (evt.EVT_N_EVENT_REPORT, self._event)])

    def close(self):
        self.scp.shutdown()

    def _event(self, event):
        with self.changed:
            self.events.append((event.event_type, str(event.request.AffectedSOPInstanceUID)))
            self.changed.notify_all()
        if str(event.request.AffectedSOPInstanceUID) == self.unwanted:
            event.assoc.abort()
        return 0, None

    def wait(self, what, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(what) >= count, 30), what
            return list(what)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def start(start_server, port, **settings):
    return start_server({**settings, "dimse": {"peers": [{"aeTitle": "RIS", "host": "127.0.0.1", "port": port}], "notifyPerformed": ["RIS"],
                                   "connectTimeoutSeconds": 1, "forwardRetrySeconds": 0.1}})


def test_MPP_08_what_becomes_of_performed_steps_is_told_in_order(start_server):
    port = free_port()
    with Listener(port) as ris:
        server = start(start_server, port)
        with Modality(server, calling="RIS") as modality:
            done, dropped = modality.begin(performed()), modality.begin(performed())
            change = ending("IN PROGRESS")
            assert modality.set(done, change)[0x0900] == 0
            assert modality.set(done, ending())[0x0900] == 0
            assert modality.set(dropped, ending("DISCONTINUED"))[0x0900] == 0
        events = ris.wait(ris.events, 5)
        assert [kind for kind, uid in events if uid == done] == [1, 4, 2]
        assert [kind for kind, uid in events if uid == dropped] == [1, 3]


def test_MPP_08_who_is_away_hears_of_all_when_it_is_back_and_after_a_restart(start_server):
    port = free_port()
    server = start(start_server, port)
    with Modality(server, calling="RIS") as modality:
        first = modality.begin(performed())
    server.kill()
    server.start()
    with Modality(server, calling="RIS") as modality:
        assert modality.set(first, ending())[0x0900] == 0
    with Listener(port) as ris:
        assert ris.wait(ris.events, 2) == [(1, first), (2, first)]


def test_MPP_08_a_step_that_is_forgotten_is_told_as_deleted_once(start_server):
    port = free_port()

    def restart_until(server, seen):
        for _ in range(60):
            server.restart()
            with Modality(server, calling="RIS") as modality:
                if seen(modality):
                    return
        raise AssertionError("what is done is not forgotten")

    with Listener(port) as ris:
        server = start(start_server, port, worklist={"keepDoneDays": 0.00001})
        with Modality(server, calling="RIS") as modality:
            uid = modality.begin(performed())
            assert modality.set(uid, ending())[0x0900] == 0
        restart_until(server, lambda modality: modality.get(uid)[0][0x0900] == 0x0112)
        assert ris.wait(ris.events, 3) == [(1, uid), (2, uid), (5, uid)]
        # its UID is kept for a while, so that it is known for one that was
        restart_until(server, lambda modality: modality.create(performed(), uid)[0x0900] == 0)
        assert ris.wait(ris.events, 4) == [(1, uid), (2, uid), (5, uid), (1, uid)]


def test_MPP_08_an_event_at_which_the_peer_always_hangs_up_is_left_out(start_server):
    port = free_port()
    with Listener(port) as ris:
        ris.unwanted = new_uid()
        server = start(start_server, port)
        with Modality(server, calling="RIS") as modality:
            assert modality.create(performed(), ris.unwanted)[0x0900] == 0
            other = modality.begin(performed())
        assert ris.wait(ris.events, 6) == [(1, ris.unwanted)] * 5 + [(1, other)]
    assert "hounsfield_performed_events_failed_total 1" in requests.get(server.url + "/metrics", timeout=10).text
    assert f"event left out called_ae=\"RIS\" type=1 instance={ris.unwanted}" in server.log()
