# SPDX-License-Identifier: MIT
"""Forwarding by rule: what comes in goes to other nodes as well, in order, over restarts and outages."""
import json
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

import pydicom
import pytest
import requests

from certificates import Authority
from conftest import free_port
from test_dat import RLE, encapsulated, rle, store as store_encoded
from upper_layer import BIG_ENDIAN, Receiver, encode, is_stored, store_all
from web import MR, make, new_uid, store

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")
WAIT = 30


def until(condition, what="it"):
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.02)


def metric(server, name):
    text = requests.get(server.url + "/metrics", timeout=10).text
    return float(re.search(rf"^hounsfield_forward_{name} (\S+)$", text, re.M).group(1))


def forwarding(start_server, *rules, ports=None, **more):
    """A server whose peers A and B are destinations, with these rules. Its port_a and port_b."""
    ports = ports or (free_port(), free_port())
    peers = [{"aeTitle": title, "host": "127.0.0.1", "port": port} for title, port in zip("AB", ports)]
    server = start_server({"dimse": {"peers": peers, "forward": list(rules), "forwardRetrySeconds": 0.1, **more}})
    server.port_a, server.port_b = ports
    return server


def rule(server, to, port):
    """Another rule, and its peer, while the server runs."""
    server.settings["dimse"]["peers"].append({"aeTitle": to, "host": "127.0.0.1", "port": port})
    server.settings["dimse"]["forward"] = [{"to": to}]
    (server.folder / "hounsfield.json").write_text(json.dumps(server.settings))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: f'forward begins to="{to}"' in server.log(), "the rule")


def uids(receiver):
    return [one.command[0x1000] for one in receiver.stored]


def test_what_is_stored_is_sent_on_in_order_by_whatever_door_it_came(start_server):
    server = forwarding(start_server, {"to": "A"})
    study, series = new_uid(), new_uid()
    images = [make(study, series, InstanceNumber=n) for n in range(12)]
    with Receiver(server.port_a) as a:
        store_all(server, images[:10])
        for ds in images[10:]:
            store(server, ds)
        until(lambda: len(a.stored) == 12, "the last instance")
        assert uids(a) == [ds.SOPInstanceUID for ds in images]
        assert [one.content for one in a.stored[:10]] == [encode(ds) for ds in images[:10]]
        until(lambda: metric(server, "sent_total") == 12 and metric(server, "lag") == 0, "the metric")
        store_all(server, images[:3])  # nothing new
        time.sleep(0.3)
        assert len(a.stored) == 12
        assert a.wait_ended(1)[0] == "released"
    assert metric(server, "failed_total") == 0


def test_rules_choose_by_modality_and_by_who_sent_it(start_server):
    server = forwarding(start_server, {"to": "A", "modalities": ["MR", "US"], "callingAe": []},
                        {"to": "B", "callingAe": ["SCANNER"]})
    ct, mr, other = make(), make(Modality="MR", SOPClassUID=MR), make()
    with Receiver(server.port_a) as a, Receiver(server.port_b) as b:
        store_all(server, [ct], calling="SCANNER")
        store_all(server, [mr, other], calling="ELSE")
        until(lambda: metric(server, "sent_total") == 2 and metric(server, "lag") == 0, "forwarding")
        assert uids(a) == [mr.SOPInstanceUID] and uids(b) == [ct.SOPInstanceUID]


def test_nothing_goes_back_to_who_sent_it(start_server):
    first, second = (start_server({"dimse": {"aeTitle": title, "forwardRetrySeconds": 0.1}}) for title in "AB")
    rule(first, "B", second.dimse_port)
    rule(second, "A", first.dimse_port)
    one, other = make(), make()
    store(first, one)
    store(second, other)
    for server in (first, second):
        until(lambda: metric(server, "sent_total") == 1 and metric(server, "lag") == 0, "the other's instance")
    time.sleep(0.5)
    for server in (first, second):
        assert metric(server, "sent_total") == 1 and metric(server, "failed_total") == 0
        text = requests.get(server.url + "/metrics", timeout=10).text
        assert "\nhounsfield_instances_stored_total 2\n" in text
        assert "\nhounsfield_instances_duplicate_total 0\n" in text


def test_an_unreachable_destination_gets_all_of_it_later_and_holds_nobody_up(start_server):
    server = forwarding(start_server, {"to": "A"}, {"to": "B"})
    images = [make() for _ in range(5)]
    with Receiver(server.port_b) as b:
        store_all(server, images)
        until(lambda: len(b.stored) == 5, "the destination that is there")
        until(lambda: metric(server, "lag") == 5, "the lag")
        assert "dimse: forward waits to=\"A\"" in server.log()
        with Receiver(server.port_a) as a:
            until(lambda: len(a.stored) == 5, "the destination that was not")
            assert uids(a) == uids(b) == [ds.SOPInstanceUID for ds in images]
        until(lambda: metric(server, "lag") == 0, "the end of the lag")
    assert "dimse: forward goes on to=\"A\"" in server.log() and metric(server, "failed_total") == 0


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_in_the_middle_loses_nothing(start_server, how):
    server = forwarding(start_server, {"to": "A"})
    images = [make() for _ in range(30)]
    with Receiver(server.port_a, delay=0.05) as a:
        store_all(server, images)
        until(lambda: len(a.stored) >= 5, "some")
        getattr(server, how)()
        assert len(a.stored) < 30
        time.sleep(0.2)
        before = len(a.stored)
        a.delay = 0
        server.start()
        until(lambda: set(uids(a)) == {ds.SOPInstanceUID for ds in images}, "the rest")
        sent = uids(a)
        assert sent[before:] == [ds.SOPInstanceUID for ds in images][30 - len(sent[before:]):], "on from where it was"
        if how == "stop":
            assert len(sent) <= 31, "at most what was under way is sent again"
    assert metric(server, "failed_total") == 0


def test_what_is_refused_for_good_is_tried_a_few_times_and_left_out(start_server):
    server = forwarding(start_server, {"to": "A"})
    images = [make() for _ in range(4)]
    statuses = {images[0].SOPInstanceUID: 0xA900, images[2].SOPInstanceUID: 0xC001}
    with Receiver(server.port_a, status=lambda number, command: statuses.get(command[0x1000], 0)) as a:
        store_all(server, images)
        until(lambda: metric(server, "lag") == 0 and metric(server, "sent_total") == 2, "the end")
        order = [ds.SOPInstanceUID for ds in images]
        assert uids(a) == [order[0]] * 3 + [order[1]] + [order[2]] * 3 + [order[3]]
    assert metric(server, "failed_total") == 2
    for uid, status in statuses.items():
        assert re.search(rf'not forwarded to="A" instance={uid} .*status {status:04X}', server.log())


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_what_was_refused_is_tried_again_at_a_reload_and_at_a_start(start_server, how):
    server = forwarding(start_server, {"to": "A"})
    images = [make() for _ in range(3)]
    refused = {ds.SOPInstanceUID for ds in images[:2]}
    with Receiver(server.port_a, status=lambda number, command: 0xC001 if command[0x1000] in refused else 0) as a:
        store_all(server, images)
        until(lambda: metric(server, "parked") == 2 and metric(server, "sent_total") == 1, "the refusals")
        refused.remove(images[0].SOPInstanceUID)
        before = len(a.stored)
        if how == "reload":
            server.process.send_signal(signal.SIGHUP)
        else:
            server.restart()
        until(lambda: metric(server, "parked") == 1 and len(a.stored) == before + 2, "another attempt")
        assert uids(a)[before:] == [ds.SOPInstanceUID for ds in images[:2]]
        refused.clear()
        server.restart()
        until(lambda: len(a.stored) == before + 3 and metric(server, "sent_total") == 1, "the last one")
        assert uids(a)[-1] == images[1].SOPInstanceUID and metric(server, "parked") == 0


def test_a_destination_that_takes_no_such_class_is_told_once(start_server):
    server = forwarding(start_server, {"to": "A"})
    with Receiver(server.port_a, syntaxes=[BIG_ENDIAN]) as a:
        store_all(server, [make(), make()])
        until(lambda: metric(server, "failed_total") == 2, "both refusals")
        assert a.stored == [] and len(a.requests) == 2


def test_a_full_destination_is_asked_again_until_it_has_room(start_server):
    server = forwarding(start_server, {"to": "A"})
    ds = make()
    with Receiver(server.port_a, status=lambda number, command: 0xA700 if number < 5 else 0) as a:
        store_all(server, [ds])
        until(lambda: metric(server, "sent_total") == 1, "room")
        assert uids(a) == [ds.SOPInstanceUID] * 6
    assert metric(server, "failed_total") == 0


def test_what_a_destination_never_has_room_for_does_not_hold_up_the_rest(start_server):
    server = forwarding(start_server, {"to": "A"}, forwardRetrySeconds=0.02)
    images = [make() for _ in range(3)]
    full = {images[0].SOPInstanceUID}
    with Receiver(server.port_a, status=lambda number, command: 0xA700 if command[0x1000] in full else 0) as a:
        store_all(server, images)
        # once more when there was room for others: it may not have been its own fault
        until(lambda: metric(server, "sent_total") == 2 and len(a.stored) == 11, "the others")
        order = [ds.SOPInstanceUID for ds in images]
        assert uids(a)[:8] == [order[0]] * 8 and sorted(uids(a)[8:]) == sorted(order)
        assert metric(server, "failed_total") == 1 and metric(server, "parked") == 1
        full.clear()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: metric(server, "parked") == 0, "room")
        assert uids(a)[-1] == order[0]


def test_a_destination_that_rejects_the_association_misses_nothing(start_server):
    server = forwarding(start_server, {"to": "A"})
    images = [make() for _ in range(2)]
    with Receiver(server.port_a, reject=lambda number: [(2, 3, 1), (2, 3, 2), (1, 1, 3), None][min(number, 3)]) as a:
        store_all(server, images)
        until(lambda: metric(server, "sent_total") == 2, "room")
        assert uids(a) == [ds.SOPInstanceUID for ds in images]
    assert metric(server, "failed_total") == 0 and metric(server, "parked") == 0


def test_of_many_that_are_refused_in_a_row_only_the_first_is_waited_for(start_server):
    server = forwarding(start_server, {"to": "A"})
    images = [make() for _ in range(5)]
    order = [ds.SOPInstanceUID for ds in images]
    refused = set(order[:4])
    with Receiver(server.port_a, status=lambda number, command: 0xC001 if command[0x1000] in refused else 0) as a:
        store_all(server, images)
        # all of them once more when another one was taken
        until(lambda: metric(server, "sent_total") == 1 and len(a.stored) == 11, "the last one")
        assert uids(a) == [order[0]] * 3 + order[1:] + order[:4]
        assert metric(server, "failed_total") == 4
        until(lambda: metric(server, "parked") == 4, "the refusals")


def test_what_was_refused_before_another_was_taken_is_not_sent_again_each_time_that_more_is_refused(start_server):
    server = forwarding(start_server, {"to": "A"})
    images = [make() for _ in range(6)]
    order = [ds.SOPInstanceUID for ds in images]
    refused = {order[0], order[1], order[3], order[4]}
    with Receiver(server.port_a, status=lambda number, command: 0xC001 if command[0x1000] in refused else 0) as a:
        store_all(server, images[:3])
        until(lambda: len(a.stored) == 7, "the first ones")
        store_all(server, images[3:])
        until(lambda: len(a.stored) >= 14, "the others")
        first, second = order[:3], order[3:]
        assert uids(a)[:7] == [first[0]] * 3 + first[1:] + first[:2]
        assert uids(a)[7:14] == [second[0]] * 3 + second[1:] + second[:2]
        until(lambda: metric(server, "parked") == 4, "the refusals")
        refused.clear()
        server.process.send_signal(signal.SIGHUP)
        until(lambda: metric(server, "parked") == 0, "all of them")
        assert sorted(uids(a)[14:]) == sorted(order[:2] + order[3:5])


def test_an_instance_at_which_the_peer_hangs_up_is_left_out(start_server):
    server = forwarding(start_server, {"to": "A"})
    with Receiver(server.port_a, abort_at=0) as a:
        store_all(server, [make()])
        until(lambda: metric(server, "failed_total") == 1, "the end of patience")
        assert a.ended == ["aborted"] * 3


def test_what_was_stored_before_the_rule_stays_and_a_reload_brings_rules(start_server):
    port = free_port()
    server = start_server({"dimse": {"forwardRetrySeconds": 0.1}})
    before, after = make(), make()
    store_all(server, [before])
    rule(server, "A", port)
    with Receiver(port) as a:
        store_all(server, [after])
        until(lambda: metric(server, "sent_total") == 1, "the new one")
        assert uids(a) == [after.SOPInstanceUID]


def test_what_was_deleted_meanwhile_is_not_sent(start_server):
    server = forwarding(start_server, {"to": "A"})
    gone, kept = make(), make()
    store_all(server, [gone, kept])
    requests.delete(f"{server.dicomweb}/studies/{gone.StudyInstanceUID}", timeout=10).raise_for_status()
    with Receiver(server.port_a) as a:
        until(lambda: metric(server, "sent_total") == 1 and metric(server, "lag") == 0, "the other one")
        assert uids(a) == [kept.SOPInstanceUID]
    assert metric(server, "failed_total") == 0


@pytest.mark.parametrize("rule, complaint", [
    ({"to": "NOBODY"}, "no peer with a host"), ({"to": 1}, "takes a list of"), ({"modalities": ["CT"]}, "takes a list of"),
    ({"to": "MOVEDEST1", "modalities": ["ct"]}, "takes a list of"), ({"to": "MOVEDEST1", "what": 1}, "takes a list of"),
])
def test_a_wrong_rule_is_told_at_the_start(start_server, rule, complaint):
    server = start_server({"dimse": {"forward": [rule]}}, wait=False)
    assert server.process.wait(20) == 2
    assert complaint in server.log() and "dimse.forward" in server.log()


# --- to others, and over TLS -----------------------------------------------------------------------------------------


class Storescp:
    """DCMTK's storage SCP, writing what it gets to a folder."""

    def __init__(self, port, folder, *options):
        folder.mkdir(exist_ok=True)
        self.folder, self.port = folder, port
        self.command = ["storescp", "+B", "-od", str(folder), *map(str, options), str(port)]
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0
        until(answers, "storescp")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(60)

    def files(self):
        return {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, self.folder.iterdir())}


needs_storescp = pytest.mark.skipif(not shutil.which("storescp"), reason="needs dcmtk")


def compressed(server):
    """An RLE image as it was stored, and its pixels."""
    pixels = bytes(range(256)) * 4
    ds = make(Rows=32, Columns=32, BitsAllocated=8, BitsStored=8, HighBit=7)
    content = encapsulated(ds, [rle(pixels)])
    store_encoded(server, content, ds, RLE)
    return ds, content, pixels


def dataset_of(path):
    """The bytes behind the File Meta Information."""
    content = path.read_bytes()
    return content[144 + struct.unpack_from("<I", content, 140)[0]:]


@needs_storescp
@pytest.mark.parametrize("takes", ["what is stored", "native only"])
def test_storescp_gets_what_it_takes(start_server, tmp_path, takes):
    server = forwarding(start_server, {"to": "A"})
    images = [make(InstanceNumber=n) for n in range(5)]
    with Storescp(server.port_a, tmp_path / "in", *(["+xa"] if takes == "what is stored" else [])) as peer:
        store_all(server, images)
        packed, content, pixels = compressed(server)
        until(lambda: metric(server, "sent_total") == 6 and metric(server, "lag") == 0, "the last instance")
        got = {path: pydicom.dcmread(path) for path in peer.folder.iterdir()}
        sent = {ds.SOPInstanceUID: ds for ds in images}
        assert {ds.SOPInstanceUID for ds in got.values()} == {*sent, packed.SOPInstanceUID}
        for path, ds in got.items():
            if ds.SOPInstanceUID in sent:
                assert dataset_of(path) == encode(sent[ds.SOPInstanceUID])
            elif takes == "what is stored":
                assert ds.file_meta.TransferSyntaxUID == RLE and dataset_of(path) == content
            else:
                assert not ds.file_meta.TransferSyntaxUID.is_compressed and ds.PixelData == pixels
    assert metric(server, "failed_total") == 0


@needs_storescp
def test_storescp_that_dies_in_the_middle_gets_the_rest_when_it_is_back(start_server, tmp_path):
    server = forwarding(start_server, {"to": "A"})
    images = [make(Rows=128, Columns=128, InstanceNumber=n) for n in range(60)]
    peer = Storescp(server.port_a, tmp_path / "in", "+xa")
    with peer:
        store_all(server, images)
        until(lambda: any(peer.folder.iterdir()), "some")
    with peer:
        until(lambda: metric(server, "lag") == 0 and metric(server, "sent_total") >= 1, "the rest")
        until(lambda: len(list(peer.folder.iterdir())) == 60, "all files")
        assert {uid: encode(ds) for uid, ds in peer.files().items()} == {ds.SOPInstanceUID: encode(ds) for ds in images}
    assert metric(server, "failed_total") == 0


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    class Pki:
        ours, other = (Authority(tmp_path_factory.mktemp("pki"), name) for name in ("ca", "other"))
        here, there = ours.issue("localhost", "server"), ours.issue("there", "server")
        elsewhere, stranger = ours.issue("elsewhere.example", "elsewhere"), other.issue("localhost", "server")
    return Pki


def secured(pki, identity, **more):
    certificate, key = identity
    return {"tlsPort": free_port(), "tlsCertificate": str(certificate), "tlsKey": str(key), "tlsCa": str(pki.ours.certificate),
            **more}


@needs_storescp
@pytest.mark.parametrize("shown", ["there", "elsewhere", "stranger"])
def test_TLS_04_storescp_over_tls_gets_it_only_when_it_is_who_it_should_be(start_server, pki, tmp_path, shown):
    port = free_port()
    peers = [{"aeTitle": "A", "host": "localhost", "port": port, "tls": True}]
    server = start_server({"dimse": secured(pki, pki.here, peers=peers, forward=[{"to": "A"}], forwardRetrySeconds=0.1)})
    ds = make()

    def peer(identity):
        certificate, key = identity
        authority = pki.ours.certificate
        return Storescp(port, tmp_path / "in", "+xa", "+tls", key, certificate, "+cf", authority)

    if shown != "there":
        with peer(getattr(pki, shown)):
            store_all(server, [ds])
            until(lambda: server.log().count("forward waits to=\"A\"") >= 2, "two refusals")
            assert metric(server, "sent_total") == 0 and metric(server, "failed_total") == 0 and metric(server, "lag") == 1
            assert re.search(r'forward waits to="A" .*why=.*(TLS|certificate)', server.log()) and not any((tmp_path / "in").iterdir())
    with peer(pki.there) as good:
        if shown == "there":
            store_all(server, [ds])
        until(lambda: metric(server, "sent_total") == 1 and metric(server, "lag") == 0, "the instance")
        assert {uid: encode(got) for uid, got in good.files().items()} == {ds.SOPInstanceUID: encode(ds)}


def test_TLS_01_one_server_forwards_to_another_over_tls_and_back(start_server, pki):
    ports = [free_port(), free_port()]
    servers = []
    for title, to, own, there, identity in (("A", "B", 0, 1, pki.here), ("B", "A", 1, 0, pki.there)):
        peers = [{"aeTitle": to, "host": "localhost", "port": ports[there], "tls": True}]
        settings = secured(pki, identity, aeTitle=title, peers=peers, forward=[{"to": to}], forwardRetrySeconds=0.1)
        settings["tlsPort"] = ports[own]
        servers.append(start_server({"dimse": settings}))
    one, other = [make() for _ in range(10)], make(Rows=512, Columns=512)
    store_all(servers[0], one)
    store_all(servers[1], [other])
    for server, count in zip(servers, (10, 1)):
        until(lambda: metric(server, "sent_total") == count and metric(server, "lag") == 0, "the other's instances")
        assert metric(server, "failed_total") == 0
    assert all(is_stored(servers[1], ds) for ds in one) and is_stored(servers[0], other)


def test_TLS_04_a_peer_of_tls_is_never_sent_to_in_the_clear(start_server, pki):
    port = free_port()
    peers = [{"aeTitle": "A", "host": "localhost", "port": port, "tls": True}]
    server = start_server({"dimse": secured(pki, pki.here, peers=peers, forward=[{"to": "A"}], forwardRetrySeconds=0.1)})
    ds = make(PatientName="Secret^Name")
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", port))
        listening.listen()
        listening.settimeout(WAIT)
        store_all(server, [ds])
        connection, _ = listening.accept()
        with connection:
            connection.settimeout(WAIT)
            hello = connection.recv(4096)
            assert hello[0] == 0x16, "a handshake, and no A-ASSOCIATE-RQ"
            connection.sendall(b"\x02\0\0\0\0\xb8" + bytes(0xB8))  # as one without TLS would accept
            rest = hello
            try:
                while piece := connection.recv(4096):
                    rest += piece
            except ConnectionError:
                pass
            assert b"Secret" not in rest
    until(lambda: "forward waits to=\"A\"" in server.log(), "the refusal")
    assert metric(server, "sent_total") == 0
