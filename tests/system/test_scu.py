# SPDX-License-Identifier: MIT
"""What we ask of other DICOM nodes: hounsfield echo, send, find, move and get."""
import json
import shutil
import signal
import socket
import subprocess
import threading
import time

import pydicom
import pytest

from certificates import Authority
from conftest import BINARY, free_port
from upper_layer import (COMMAND, CT, DATA, EXPLICIT, IMPLICIT, WAIT, Receiver, command, encode, fragments, is_stored,
                         parse_items, pdv, data_pdu, role, store_all, user_information)
from web import MR, make, new_uid, part10

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


def run(*arguments, status=0, timeout=60):
    done = subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    assert done.returncode == status, done.stdout + done.stderr
    return done


def at(server):
    return ["--called", server.ae_title, "127.0.0.1", server.dimse_port]


def write(folder, *datasets):
    for number, ds in enumerate(datasets):
        path = folder / f"{number:04}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(part10(ds))


@pytest.fixture
def files(tmp_path):
    """Four images of two classes in a tree of folders; beside them what is no image. The images."""
    patient = {"PatientID": "SCU" + new_uid()[-8:], "PatientName": "SCU^Müller", "SpecificCharacterSet": "ISO_IR 192"}
    study, series = new_uid(), new_uid()
    images = [make(study, series, InstanceNumber=n, **patient) for n in (1, 2, 3)]
    images.append(make(study, Modality="MR", SOPClassUID=MR, **patient))
    write(tmp_path / "files" / "a", *images[:2])
    write(tmp_path / "files" / "a" / "b", *images[2:])
    (tmp_path / "files" / "notes.txt").write_text("no image")
    (tmp_path / "files" / "empty").write_text("")
    return tmp_path / "files", images


@pytest.mark.parametrize("command", ["echo", "send", "find", "move", "get"])
def test_each_command_explains_itself(command):
    own = run(command, "--help")
    assert f"hounsfield {command} - " in own.stdout and "Exit status" in own.stdout and "--aet TITLE" in own.stdout
    assert run("help", command).stdout == own.stdout
    assert f"hounsfield {command} " in run("--help").stdout


@pytest.mark.parametrize("arguments, complaint", [
    (["echo", "localhost"], "usage"), (["echo", "localhost", "0"], "no port"), (["echo", "localhost", "x"], "no port"),
    (["echo", "localhost", "104", "more"], "takes no more"), (["echo", "--jobs", "2", "localhost", "104"], "--jobs"),
    (["echo", "--aet", "A" * 17, "localhost", "104"], "--aet takes an AE title"), (["echo", "--count"], "needs a value"),
    (["echo", "--tls", "localhost", "104"], "--ca"), (["echo", "--ca", "x", "localhost", "104"], "--tls"),
    (["send", "localhost", "104"], "usage"), (["send", "--jobs", "0", "localhost", "104", "x"], "--jobs takes 1 to 64"),
    (["find", "localhost", "104", "NoSuchKey=1"], "no attribute"),
    (["find", "--level", "WORLD", "localhost", "104"], "--level takes PATIENT"),
    (["move", "localhost", "104", "PatientID=1"], "--to"), (["get", "localhost", "104", "PatientID=1"], "--out"),
    (["get", "--out", "x", "localhost", "104"], "usage"),
])
def test_wrong_usage_is_told_and_is_status_2(arguments, complaint):
    done = run(*arguments, status=2)
    assert complaint in done.stderr and not done.stdout


def test_echo_tells_the_time_it_took(server):
    done = run("echo", *at(server))
    assert done.stdout.count("answered in") == 1
    assert "2 answers" in run("echo", "--count", 2, *at(server)).stdout


def test_echo_tells_why_there_is_no_answer(server):
    port = free_port()
    refused = run("echo", "127.0.0.1", port, status=1).stderr
    assert f"127.0.0.1 port {port}" in refused and "refused" in refused
    rejected = run("echo", "--called", "SOMEBODY", "127.0.0.1", server.dimse_port, status=1).stderr
    assert "rejected 1/1/7 for good: called AE title not recognized, says its service user" in rejected
    assert "own AE title is not SOMEBODY: give it with --called TITLE" in rejected
    assert "own AE title is not ANY-SCP" in run("echo", "127.0.0.1", server.dimse_port, status=1).stderr
    assert 'result=1/1/7 why="the called AE title is not ours"' in server.log()


def test_find_says_when_there_is_nothing(server):
    done = run("find", *at(server), "PatientID=nobody")
    assert done.stdout == "" and "no match" in done.stderr
    assert run("find", "--json", *at(server), "PatientID=nobody").stdout == "[]\n"


@pytest.mark.parametrize("jobs", [1, 3])
def test_send_stores_what_is_in_a_folder_and_passes_over_what_is_no_image(server, files, jobs):
    folder, images = files
    done = run("send", "--jobs", jobs, *at(server), folder)
    assert "4 of 4 files stored" in done.stdout and "2 are no images" in done.stdout and "failed" not in done.stdout
    assert all(is_stored(server, ds) for ds in images)


def test_send_sends_the_bytes_of_the_file(files):
    folder, images = files
    port = free_port()
    with Receiver(port) as receiver:
        run("send", "127.0.0.1", port, folder, "--aet", "SENDER")
    assert sorted(one.content for one in receiver.stored) == sorted(encode(ds) for ds in images)
    assert {one.command[0x1000] for one in receiver.stored} == {ds.SOPInstanceUID for ds in images}
    assert receiver.requests[0][20:36].decode().strip() == "SENDER" and receiver.wait_ended(1) == ["released"]


def test_send_names_each_file_that_was_refused(files):
    folder, images = files
    port = free_port()
    with Receiver(port, status=lambda number, command: 0xC123 if command[0x0002] == MR else 0) as receiver:
        done = run("send", "127.0.0.1", port, folder, status=1)
    assert len(receiver.stored) == 4 and "3 of 4 files stored" in done.stdout and "1 failed" in done.stdout
    assert f"{folder / 'a' / 'b' / '0001.dcm'}: status C123" in done.stderr


def test_send_says_when_a_peer_does_not_take_the_transfer_syntax(files):
    folder, _ = files
    port = free_port()
    with Receiver(port, syntaxes=[IMPLICIT]):
        done = run("send", "127.0.0.1", port, folder, status=1)
    assert "0 of 4 files stored" in done.stdout and done.stderr.count("accepted no presentation context") == 4
    with Receiver(port, syntaxes=[EXPLICIT]):
        ds = make()
        (folder / "implicit.dcm").write_bytes(part10(ds, pydicom.uid.ImplicitVRLittleEndian))
        done = run("send", "127.0.0.1", port, folder, status=1)
    assert "4 of 5 files stored" in done.stdout
    assert "implicit.dcm: the peer does not take transfer syntax Implicit VR Little Endian" in done.stderr


def test_send_goes_on_over_a_lost_association_and_gives_up_a_peer_that_is_gone(files):
    folder, _ = files
    port = free_port()
    with Receiver(port, abort_at=2) as receiver:
        done = run("send", "127.0.0.1", port, folder, status=1)
    assert len(receiver.stored) == 2 and "2 of 4 files stored" in done.stdout
    done = run("send", "127.0.0.1", free_port(), folder, status=1)
    assert "0 of 4 files stored" in done.stdout and "3 not tried" in done.stdout
    assert "Connection refused" in done.stderr


def test_send_ends_at_a_peer_that_rejects_it_for_good_and_says_why(files):
    folder, _ = files
    port = free_port()
    with Receiver(port, reject=lambda number: (1, 1, 3)) as receiver:
        done = run("send", "127.0.0.1", port, folder, status=1)
        assert len(receiver.requests) == 1
    assert "0 of 4 files stored" in done.stdout and "3 not tried" in done.stdout
    assert "rejected 1/1/3 for good: calling AE title not recognized, says its service user" in done.stderr
    assert "does not know HOUNSFIELD" in done.stderr and "--aet TITLE" in done.stderr


@pytest.mark.parametrize("jobs", [1, 3])
def test_send_asks_again_when_it_is_rejected_for_now(files, jobs):
    folder, _ = files
    port = free_port()
    with Receiver(port, reject=lambda number: (2, 3, 2) if number < 2 else None) as receiver:
        done = run("send", "--jobs", jobs, "127.0.0.1", port, folder)
        assert len(receiver.stored) == 4 and len(receiver.requests) > 2
    assert "4 of 4 files stored" in done.stdout and "rejected 2/3/2 for now: local limit exceeded" in done.stderr
    assert "says its service provider (presentation); trying again" in done.stderr


def test_send_takes_more_associations_for_more_than_128_contexts(server, tmp_path):
    images = [make(SOPClassUID=f"1.2.826.0.1.3680043.10.1.{n}") for n in range(140)]
    write(tmp_path / "many", *images)
    assert "140 of 140 files stored" in run("send", *at(server), tmp_path / "many").stdout
    assert is_stored(server, images[0]) and is_stored(server, images[139])


def test_find_prints_lines_or_json(server, files):
    folder, images = files
    run("send", *at(server), folder)
    patient, study = images[0].PatientID, images[0].StudyInstanceUID
    text = run("find", *at(server), f"PatientID={patient}", "PatientName", "0020,000D").stdout
    assert "PatientName" in text and "SCU^Müller" in text and study in text
    found = json.loads(run("find", "--json", *at(server), f"0010,0020={patient}", "PatientName=scu^müller",
                           "StudyInstanceUID", "ModalitiesInStudy").stdout)
    assert len(found) == 1 and found[0]["0020000D"]["Value"] == [study]
    assert sorted(found[0]["00080061"]["Value"]) == ["CT", "MR"]
    found = json.loads(run("find", "--json", *at(server), "--level", "IMAGE", f"StudyInstanceUID={study}",
                           f"SeriesInstanceUID={images[0].SeriesInstanceUID}", "SOPInstanceUID").stdout)
    assert {one["00080018"]["Value"][0] for one in found} == {ds.SOPInstanceUID for ds in images[:3]}
    found = json.loads(run("find", "--json", "--patient-root", "--level", "patient", *at(server),
                           f"PatientID={patient}").stdout)
    assert len(found) == 1
    assert run("find", "--json", *at(server), "PatientID=NOBODY" + patient).stdout.split() == ["[]"]


def test_find_keeps_control_characters_from_the_terminal(server):
    patient = "CTRL" + new_uid()[-8:]
    store_all(server, [make(PatientID=patient, PatientName="A\u009b31mB\x1b[0mC\x7f\u00e9", SpecificCharacterSet="ISO_IR 192")])
    done = run("find", *at(server), f"PatientID={patient}", "PatientName")
    name, = [line for line in done.stdout.split("\n") if "PatientName" in line]
    assert not set(name) & set("\u009b\x1b\x7f") and "31mB" in name and name.rstrip().endswith("\u00e9")


def test_find_cancels_at_the_limit_and_tells_a_refusal(server):
    patient = "LIMIT" + new_uid()[-8:]
    store_all(server, [make(PatientID=patient) for _ in range(8)])
    found = json.loads(run("find", "--json", "--limit", 3, *at(server), f"PatientID={patient}",
                           "StudyInstanceUID").stdout)
    assert len(found) == 3
    done = run("find", "--level", "SERIES", *at(server), "SeriesInstanceUID", status=1)
    assert "status A900" in done.stderr


def test_move_has_the_peer_send_and_tells_how_it_went(server, files):
    folder, images = files
    run("send", *at(server), folder)
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        done = run("move", *at(server), "--to", "MOVEDEST1", f"StudyInstanceUID={images[0].StudyInstanceUID}")
        assert "4 instances moved, 0 with a warning, 0 failed" in done.stdout and "moving: " in done.stderr
        assert {one.command[0x1000] for one in receiver.stored} == {ds.SOPInstanceUID for ds in images}
        run("move", *at(server), "--to", "MOVEDEST1", f"PatientID={images[0].PatientID}")
        assert len(receiver.stored) == 8
    done = run("move", *at(server), "--to", "NOWHERE", f"PatientID={images[0].PatientID}", status=1)
    assert "status A801" in done.stderr
    done = run("move", *at(server), "--to", "MOVEDEST1", f"StudyInstanceUID={images[0].StudyInstanceUID}", status=1)
    assert "4 failed" in done.stdout


def test_get_writes_part_10_files(server, files, tmp_path):
    folder, images = files
    run("send", *at(server), folder)
    out = tmp_path / "out"
    done = run("get", *at(server), "--out", out, f"StudyInstanceUID={images[0].StudyInstanceUID}")
    assert "4 instances fetched" in done.stdout
    assert {path.name for path in out.iterdir()} == {f"{ds.SOPInstanceUID}.dcm" for ds in images}
    for ds in images:
        got = pydicom.dcmread(out / f"{ds.SOPInstanceUID}.dcm")
        assert got.file_meta.TransferSyntaxUID == EXPLICIT and encode(got) == encode(ds)
    only = tmp_path / "only"
    done = run("get", *at(server), "--out", only, "--class", MR, f"StudyInstanceUID={images[0].StudyInstanceUID}",
               status=1)
    assert "1 instance fetched" in done.stdout and "3 failed" in done.stdout
    assert [path.name for path in only.iterdir()] == [f"{images[3].SOPInstanceUID}.dcm"]


def test_get_asks_for_the_usual_classes(server, tmp_path):
    usual = [CT, MR, "1.2.840.10008.5.1.4.1.1.88.67", "1.2.840.10008.5.1.4.1.1.481.5", "1.2.840.10008.5.1.4.1.1.104.1",
             "1.2.840.10008.5.1.4.1.1.9.1.1", "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.11.1",
             "1.2.840.10008.5.1.4.1.1.128", "1.2.840.10008.5.1.4.1.1.88.59", "1.2.840.10008.5.1.4.1.1.77.1.6"]
    study = new_uid()
    write(tmp_path / "in", *[make(study, SOPClassUID=uid) for uid in usual])
    run("send", *at(server), tmp_path / "in")
    done = run("get", *at(server), "--out", tmp_path / "out", f"StudyInstanceUID={study}")
    assert f"{len(usual)} instances fetched, 0 with a warning, 0 failed" in done.stdout


def test_what_cannot_be_written_is_answered_and_leaves_nothing(server, files, tmp_path):
    folder, images = files
    run("send", *at(server), folder)
    out = tmp_path / "out"
    out.mkdir()
    (out / f"{images[0].SOPInstanceUID}.dcm").mkdir()
    done = run("get", *at(server), "--out", out, f"StudyInstanceUID={images[0].StudyInstanceUID}", status=1)
    assert "3 instances fetched, 0 with a warning, 1 failed" in done.stdout and images[0].SOPInstanceUID in done.stderr
    assert len(list(out.glob("*.dcm"))) == 4 and not list(out.glob(".*"))


def test_over_tls_the_peer_must_be_who_it_says(start_server, files, tmp_path):
    folder, images = files
    ours, other = Authority(tmp_path, "ca"), Authority(tmp_path, "other")
    certificate, key = ours.issue("localhost", "server")
    port = free_port()
    server = start_server({"dimse": {"tlsPort": port, "tlsCertificate": str(certificate), "tlsKey": str(key),
                                     "tlsCa": str(ours.certificate)}})
    mine, my_key = ours.issue("CT1")
    tls = ["--tls", "--ca", ours.certificate, "--cert", mine, "--key", my_key]
    where = ["--called", server.ae_title, "127.0.0.1", port]
    assert "answered in" in run("echo", *tls, *where).stdout
    assert "4 of 4 files stored" in run("send", *tls, *where, folder).stdout
    assert is_stored(server, images[0])
    run("echo", "--tls", "--ca", other.certificate, "--cert", mine, "--key", my_key, *where, status=1)
    run("echo", "--tls", "--ca", ours.certificate, *where, status=1)


@pytest.mark.skipif(not shutil.which("dcmqrscp"), reason="needs dcmtk")
def test_all_of_it_with_dcmqrscp(files, tmp_path):
    folder, images = files
    port, back = free_port(), free_port()
    (tmp_path / "db").mkdir()
    (tmp_path / "config").write_text(
        f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
        f"HostTable BEGIN\nus = (BACK, 127.0.0.1, {back})\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\nQR {tmp_path / 'db'} RW (200, 1024mb) ANY\nAETable END\n")
    peer = subprocess.Popen(["dcmqrscp", "-c", str(tmp_path / "config")])
    try:
        where = ["--called", "QR", "--aet", "BACK", "127.0.0.1", port]
        deadline = time.monotonic() + 20
        while subprocess.run([str(BINARY), "echo", *map(str, where)], capture_output=True, timeout=60).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert "4 of 4 files stored" in run("send", *where, folder).stdout
        study = images[0].StudyInstanceUID
        found = json.loads(run("find", "--json", *where, f"StudyInstanceUID={study}", "PatientID").stdout)
        assert [one["00100020"]["Value"] for one in found] == [[images[0].PatientID]]
        with Receiver(back) as receiver:
            run("move", *where, "--to", "BACK", f"StudyInstanceUID={study}")
        assert {one.command[0x1000] for one in receiver.stored} == {ds.SOPInstanceUID for ds in images}
        run("get", *where, "--out", tmp_path / "out", f"StudyInstanceUID={study}")
        assert len(list((tmp_path / "out").iterdir())) == 4
    finally:
        peer.terminate()
        peer.wait(60)


def test_with_pynetdicom(files):
    from pynetdicom import AE, evt
    folder, images = files
    port = free_port()
    stored = []
    node = AE()
    node.add_supported_context(CT, EXPLICIT)
    node.add_supported_context(MR, EXPLICIT)
    node.add_supported_context("1.2.840.10008.1.1")

    def keep(event):
        stored.append(event.dataset.SOPInstanceUID)
        return 0x0000
    running = node.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    try:
        assert "answered in" in run("echo", "127.0.0.1", port).stdout
        assert "4 of 4 files stored" in run("send", "127.0.0.1", port, folder).stdout
    finally:
        running.shutdown()
    assert sorted(stored) == sorted(ds.SOPInstanceUID for ds in images)


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


class Silent(Receiver):
    """Accepts an association, says `first` and no more, and notes how it ends."""

    def __init__(self, port, first=None, reads=True):
        self.first, self.reads, self.heard = first, reads, threading.Event()
        super().__init__(port)

    def _serve(self, wire):
        _, body = wire.read()
        answer, contexts = self._negotiate(body)
        roles = [content for kind, content in parse_items(body[68:]) if kind == 0x50][0]
        roles = b"".join(role(one[2:-2].decode(), 0, 1) for kind, one in parse_items(roles) if kind == 0x54)
        answer = answer[:answer.rindex(user_information(self.length))] + user_information(self.length, roles)
        wire.send(answer[:2] + (len(answer) - 6).to_bytes(4, "big") + answer[6:])
        if not self.reads:
            self.heard.set()
            time.sleep(WAIT)
            return
        got = wire.read()
        if self.first:
            wire.send(self.first(contexts, body))
        self.heard.set()
        try:
            while got and got[0] == DATA:
                got = wire.read()
            self._end(wire, got)
        finally:
            wire.close()


def interrupted(*arguments, when, number=signal.SIGINT):
    """Runs until `when` returns, then sends the signal; what it said. It must end soon, with the status of a shell's."""
    process = subprocess.Popen([str(BINARY), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        when()
        process.send_signal(number)
        out, complaint = process.communicate(timeout=WAIT)
    finally:
        process.kill()
    assert "Sanitizer" not in complaint and "runtime error" not in complaint, complaint
    assert process.returncode == 128 + number, out + complaint
    assert "interrupted" in complaint
    return out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", ["send", "find", "move", "get"])
def test_an_interrupt_aborts_what_waits_for_an_answer(files, tmp_path, what, number):
    folder, images = files
    port = free_port()
    more = {"send": [folder], "find": ["PatientID=1"], "move": ["--to", "X", "PatientID=1"],
            "get": ["--out", tmp_path / "out", "PatientID=1"]}[what]
    with Silent(port) as peer:
        out = interrupted(what, "127.0.0.1", port, *more, when=lambda: peer.heard.wait(WAIT), number=number)
        # behind an instance that nobody has confirmed an A-ABORT could wait for ever: the connection is reset
        assert peer.wait_ended() == ["closed" if what == "send" else "aborted by the requestor"]
    if what == "send":
        assert "0 of 4 files stored" in out and "4 not sent" in out
    if what == "get":
        assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupt_in_the_middle_of_an_instance_leaves_no_half_file(tmp_path):
    ds, out, port = make(Rows=512, Columns=512), tmp_path / "out", free_port()

    def half(contexts, body):
        numbers = {content[0]: [uid.decode() for kind, uid in parse_items(content[4:]) if kind == 0x30]
                   for kind, content in parse_items(body[68:]) if kind == 0x20}
        number = next(n for n, abstract in numbers.items() if abstract == [CT])
        store = command({0x0002: CT, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1, 0x1000: ds.SOPInstanceUID})
        return fragments(number, COMMAND, store, 16000) + data_pdu(pdv(number, 0, encode(ds)[:100000]))

    def wait_for_half():
        deadline = time.monotonic() + WAIT
        while not out.exists() or not any(path.stat().st_size > 50000 for path in out.iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    with Silent(port, half) as peer:
        interrupted("get", "127.0.0.1", port, "--out", out, "PatientID=1", when=wait_for_half)
        assert peer.wait_ended() == ["aborted by the requestor"]
    assert list(out.iterdir()) == []


def test_an_interrupt_ends_a_send_to_a_peer_that_reads_nothing(tmp_path):
    port = free_port()
    write(tmp_path / "big", make(Rows=4096, Columns=4096))

    def wait():
        peer.heard.wait(WAIT)
        time.sleep(0.3)

    with Silent(port, reads=False) as peer:
        assert "0 of 1 file stored" in interrupted("send", "127.0.0.1", port, tmp_path / "big", when=wait)


def test_an_interrupt_ends_the_wait_for_a_peer_that_does_not_accept():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        accepted = []

        def wait():
            accepted.append(listening.accept()[0])
            assert accepted[0].recv(1)

        interrupted("find", "127.0.0.1", listening.getsockname()[1], "PatientID=1", when=wait)
        accepted[0].close()


def test_an_interrupted_send_counts_what_was_answered(tmp_path):
    write(tmp_path / "many", *[make() for _ in range(40)])
    port = free_port()
    with Receiver(port, delay=0.1) as receiver:
        out = interrupted("send", "127.0.0.1", port, tmp_path / "many",
                          when=lambda: [time.sleep(0.02) for _ in range(400) if len(receiver.stored) < 3])
        receiver.wait_ended()
        stored = int(out.split(" of 40 files stored")[0].split()[-1])
        assert len(receiver.stored) - 1 <= stored <= len(receiver.stored) < 40
    assert f"{40 - stored} not sent, or not answered" in out and " failed" not in out


def test_an_interrupted_get_keeps_what_it_has_whole(server, tmp_path):
    study = new_uid()
    images = [make(study, Rows=256, Columns=256) for _ in range(60)]
    store_all(server, images)
    out = tmp_path / "out"

    def some():
        deadline = time.monotonic() + WAIT
        while not out.exists() or not any(out.glob("*.dcm")):
            assert time.monotonic() < deadline
            time.sleep(0.001)

    try:
        interrupted("get", *at(server), "--out", out, f"StudyInstanceUID={study}", when=some)
    except AssertionError as error:
        assert "60 instances fetched" in str(error), "all was there before the signal"
    assert not list(out.glob(".*"))
    sent = {ds.SOPInstanceUID: ds for ds in images}
    for path in out.iterdir():
        assert encode(pydicom.dcmread(path)) == encode(sent[path.stem])
