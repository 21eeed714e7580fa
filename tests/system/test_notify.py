# SPDX-License-Identifier: MIT
"""What peers are told of performed steps (PS3.4 F.9)."""
import threading

from pynetdicom import AE, evt

from conftest import free_port
from test_mpp import Modality, ending, performed

EVENTS = "1.2.840.10008.3.1.2.3.5"


class Listener:
    """A peer that is told (pynetdicom)."""

    def __init__(self, port, title="RIS"):
        self.port, self.title = port, title
        self.events = []
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
        return 0, None

    def wait(self, what, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(what) >= count, 30), what
            return list(what)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def start(start_server, port):
    return start_server({"dimse": {"peers": [{"aeTitle": "RIS", "host": "127.0.0.1", "port": port}], "notifyPerformed": ["RIS"],
                                   "connectTimeoutSeconds": 1, "forwardRetrySeconds": 0.2}})


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
