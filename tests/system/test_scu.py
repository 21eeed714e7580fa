# SPDX-License-Identifier: MIT
"""What we ask of other DICOM nodes: hounsfield echo, send, find, move and get."""
import json
import shutil
import subprocess
import time

import pydicom
import pytest

from certificates import Authority
from conftest import BINARY, free_port
from upper_layer import CT, EXPLICIT, IMPLICIT, Receiver, encode, is_stored, store_all
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
    (["echo", "--aet", "A" * 17, "localhost", "104"], "--aet takes no"), (["echo", "--count"], "needs a value"),
    (["echo", "--tls", "localhost", "104"], "--ca"), (["echo", "--ca", "x", "localhost", "104"], "--tls"),
    (["send", "localhost", "104"], "usage"), (["send", "--jobs", "0", "localhost", "104", "x"], "--jobs takes no"),
    (["find", "localhost", "104", "NoSuchKey=1"], "no attribute"),
    (["find", "--level", "WORLD", "localhost", "104"], "--level takes no"),
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
    assert "refused" in run("echo", "127.0.0.1", free_port(), status=1).stderr
    assert "rejected" in run("echo", "--called", "SOMEBODY", "127.0.0.1", server.dimse_port, status=1).stderr


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
    assert "1 instances fetched" in done.stdout and "3 failed" in done.stdout
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
        while subprocess.run([str(BINARY), "echo", *map(str, where)], capture_output=True).returncode:
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
        peer.wait()


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
