# SPDX-License-Identifier: MIT
"""C-MOVE (PS3.4 C.4.2)."""
import io
import os
import socket
import struct
import subprocess
import threading
import time

import pydicom
import pytest

from bounds import join_all, until
from upper_layer import (
    BIG_ENDIAN, CT, EXPLICIT, IMPLICIT, PATIENT_MOVE, STUDY_MOVE, Association, Receiver, decode, encode, item, keys,
    store_all, store_many, user_information,
)
from web import MR, make, new_uid, part10

TREE_SIZE = 4

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


def store_tree(server, prefix):
    """One patient, two studies: CT series of two, MR series of one; and a study of one."""
    patient = dict(PatientID=prefix + new_uid()[-10:])
    study, ct = new_uid(), new_uid()
    datasets = [make(study, ct, InstanceNumber=1, **patient), make(study, ct, InstanceNumber=2, **patient),
                make(study, Modality="MR", SOPClassUID=MR, **patient), make(**patient)]
    store_all(server, datasets)
    return datasets


@pytest.fixture(scope="module")
def tree(server):
    return store_tree(server, "MOV")


def move(server, ds, root=STUDY_MOVE, destination="MOVEDEST1", calling="MOVER", syntax=EXPLICIT, elements=None,
         message_id=None):
    association = Association(server, [(1, root, [syntax])], calling=calling)
    more = {0x0600: destination} if destination is not None else {}
    association.request(1, 0x21, root, ds, message_id, elements=more | (elements or {}))
    answers = association.answers(1)
    association.release()
    return answers


def counters(answer):
    return tuple(answer.get(number) for number in (0x1020, 0x1021, 0x1022, 0x1023))


@pytest.mark.parametrize("root, level, unique, expected", [
    (PATIENT_MOVE, "PATIENT", "PatientID", {0, 1, 2, 3}), (PATIENT_MOVE, "STUDY", "StudyInstanceUID", {0, 1, 2}),
    (PATIENT_MOVE, "SERIES", "SeriesInstanceUID", {0, 1}), (PATIENT_MOVE, "IMAGE", "SOPInstanceUID", {0}),
    (STUDY_MOVE, "STUDY", "StudyInstanceUID", {0, 1, 2}), (STUDY_MOVE, "SERIES", "SeriesInstanceUID", {0, 1}),
    (STUDY_MOVE, "IMAGE", "SOPInstanceUID", {0}),
])
def test_MOV_01_every_level_of_both_models(server, tree, root, level, unique, expected):
    levels = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
    named = levels[0 if root == PATIENT_MOVE else 1:levels.index(unique) + 1]
    query = keys(QueryRetrieveLevel=level, **{name: tree[0][name].value for name in named})
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        answers = move(server, query, root)
        final, data = answers[-1]
        assert final[0x0900] == 0 and data is None
        assert counters(final) == (None, len(expected), 0, 0)
        assert {one.command[0x1000] for one in receiver.stored} == {tree[i].SOPInstanceUID for i in expected}
        for one in receiver.stored:
            ds = next(ds for ds in tree if ds.SOPInstanceUID == one.command[0x1000])
            assert one.content == encode(ds) and one.syntax == EXPLICIT


def test_MOV_01_lists_of_uids(server, tree):
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        uids = [tree[0].StudyInstanceUID, tree[3].StudyInstanceUID]
        final = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=uids))[-1][0]
        assert final[0x0900] == 0 and final[0x1021] == TREE_SIZE
        uids = [tree[0].SeriesInstanceUID, tree[2].SeriesInstanceUID]
        final = move(server, keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=tree[0].StudyInstanceUID,
                                  SeriesInstanceUID=uids))[-1][0]
        assert final[0x0900] == 0 and final[0x1021] == 3
        uids = [tree[0].SOPInstanceUID, tree[1].SOPInstanceUID, "1.2.3"]
        final = move(server, keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=tree[0].StudyInstanceUID,
                                  SeriesInstanceUID=tree[0].SeriesInstanceUID, SOPInstanceUID=uids))[-1][0]
        assert final[0x0900] == 0 and final[0x1021] == 2
        assert len(receiver.stored) == TREE_SIZE + 3 + 2
        assert all(end == "released" for end in receiver.wait_ended(3)) and len(receiver.ended) == 3


def test_MOV_02_counters_while_sub_operations_run(server):
    study, series = new_uid(), new_uid()
    store_all(server, [make(study, series, InstanceNumber=i) for i in range(8)])
    with Receiver(server.destination_ports["MOVEDEST1"], delay=0.3):
        answers = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study))
    pending = [answer for answer, data in answers[:-1] if data is None]
    assert len(pending) == len(answers) - 1 >= 3, "after the first, and once a second"
    assert all(answer[0x0900] == 0xFF00 and sum(counters(answer)) == 8 for answer in pending)
    remaining = [answer[0x1020] for answer in pending]
    assert remaining == sorted(set(remaining), reverse=True) and remaining[0] == 7
    assert counters(answers[-1][0]) == (None, 8, 0, 0)


def test_MOV_02_no_second_without_a_sign_of_life_however_slow_the_destination_is(server, tree):
    gaps = []
    with Receiver(server.destination_ports["MOVEDEST1"], delay=2.5):
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE,
                            keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=tree[3].StudyInstanceUID),
                            elements={0x0600: "MOVEDEST1"})
        while True:
            began = time.monotonic()
            answer = association.read_message()[1]
            gaps.append(time.monotonic() - began)
            if answer[0x0900] != 0xFF00:
                break
            assert counters(answer) in ((1, 0, 0, 0), (0, 1, 0, 0))
        assert answer[0x0900] == 0
        association.release()
    assert sorted(gaps)[len(gaps) // 2] < 1 and max(gaps) < 2.3  # one may wait for the machine, none for the destination


class Hesitant(Receiver):
    """Takes its time to answer the association request."""

    def __init__(self, port, hesitation):
        self.hesitation = hesitation
        super().__init__(port)

    def _negotiate(self, body):
        time.sleep(self.hesitation)
        return super()._negotiate(body)


def test_MOV_02_signs_of_life_while_the_destination_is_being_called(server, tree):
    query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=tree[0].StudyInstanceUID)
    with Hesitant(server.destination_ports["MOVEDEST1"], 1.6):
        answers = move(server, query)
    waiting = [answer for answer, _ in answers[:-1] if counters(answer) == (3, 0, 0, 0)]
    assert len(waiting) >= 2 and all(answer[0x0900] == 0xFF00 for answer in waiting)
    assert answers[-1][0][0x0900] == 0 and answers[-1][0][0x1021] == 3


def test_MOV_08_cancel_while_the_destination_is_being_called(server, tree):
    with Hesitant(server.destination_ports["MOVEDEST1"], 5) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        identity = association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY",
                                                                 StudyInstanceUID=tree[0].StudyInstanceUID),
                                       elements={0x0600: "MOVEDEST1"})
        assert association.read_message()[1][0x0900] == 0xFF00
        association.cancel(1, identity)
        began = time.monotonic()
        final = association.answers(1)[-1][0]
        assert final[0x0900] == 0xFE00 and counters(final) == (3, 0, 0, 0) and time.monotonic() - began < 4
        association.release()
        receiver.wait_ended()
        assert receiver.stored == []


def test_MOV_04_a_destination_whose_name_is_unknown(start_server, tree):
    server = start_server(settings={"dimse": {"peers": [{"aeTitle": "NAMELESS", "host": "no.such.host.invalid",
                                                         "port": 104}]}})
    ds = make()
    store_all(server, [ds])
    final, data = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                       destination="NAMELESS")[-1]
    assert final[0x0900] == 0xA702 and data.FailedSOPInstanceUIDList == ds.SOPInstanceUID


def test_MOV_04_a_destination_that_never_answers(start_server):
    server = start_server(settings={"dimse": {"messageTimeoutSeconds": 0.4}})
    ds = make()
    store_all(server, [ds])
    with Receiver(server.destination_ports["MOVEDEST1"], delay=10):
        began = time.monotonic()
        final, _ = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID))[-1]
        assert time.monotonic() - began < 9
    assert final[0x0900] == 0xA702 and counters(final) == (None, 0, 1, 0)


class Deaf(Receiver):
    """Accepts, and reads nothing of what is sent before `listen` is set."""

    def __init__(self, port):
        self.listen, self.heard, self.end = threading.Event(), 0, None
        super().__init__(port)

    def _serve(self, wire):
        answer, _ = self._negotiate(wire.read()[1])
        wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        wire.send(answer)
        self.listen.wait(20)
        try:
            while piece := wire.sock.recv(1 << 16):
                self.heard += len(piece)
            self.ended.append("closed")
        except ConnectionResetError:
            self.ended.append("reset")


def test_MOV_04_nothing_is_sent_on_to_a_destination_that_was_given_up(start_server):
    """What waits in the kernel may be pages of an instance that is deleted meanwhile."""
    server = start_server(settings={"dimse": {"messageTimeoutSeconds": 0.4}})
    ds = make(Rows=2048, Columns=2048, PixelData=bytes(2048 * 2048 * 2))
    store_all(server, [ds])
    with Deaf(server.destination_ports["MOVEDEST1"]) as receiver:
        final, _ = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID))[-1]
        assert final[0x0900] == 0xA702
        receiver.listen.set()
        assert receiver.wait_ended() == ["reset"]


@pytest.mark.parametrize("destination", ["NOBODY", "", None, "movedest1", "MOVEDEST1X", " "])
def test_MOV_03_unknown_destinations(server, tree, destination):
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        answers = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=tree[0].StudyInstanceUID),
                       destination=destination)
        assert len(answers) == 1 and answers[0][0][0x0900] == 0xA801 and answers[0][1] is None
        assert receiver.requests == []


def test_MOV_04_a_destination_that_is_down_or_refuses(server, tree):
    query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=tree[0].StudyInstanceUID)
    final, data = move(server, query)[-1]
    assert final[0x0900] == 0xA702 and counters(final) == (None, 0, 3, 0)
    assert 0 < len(final[0x0902]) <= 64
    assert set(data.FailedSOPInstanceUIDList) == {ds.SOPInstanceUID for ds in tree[:3]}
    with Receiver(server.destination_ports["MOVEDEST1"], reject=True):
        final, _ = move(server, query)[-1]
    assert final[0x0900] == 0xA702 and counters(final) == (None, 0, 3, 0)
    assert "1/1/7" in final[0x0902]


def test_MOV_04_a_destination_that_breaks_off(server):
    study, series = new_uid(), new_uid()
    store_all(server, [make(study, series, InstanceNumber=i) for i in range(6)])
    with Receiver(server.destination_ports["MOVEDEST1"], abort_at=2) as receiver:
        final, data = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study))[-1]
        assert final[0x0900] == 0xB000 and counters(final) == (None, 2, 4, 0)
        stored = {one.command[0x1000] for one in receiver.stored}
        assert len(data.FailedSOPInstanceUIDList) == 4 and not stored & set(data.FailedSOPInstanceUIDList)


def test_MOV_04_files_that_cannot_be_read_are_no_fault_of_the_destination(start_server):
    server = start_server(settings={"data": {"segmentSizeMiB": 1}})
    study, series = new_uid(), new_uid()
    datasets = [make(study, series, InstanceNumber=i, Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2))
                for i in range(1, 6)]
    store_all(server, datasets)
    segments = sorted((server.data_dir / "segments").iterdir())
    assert len(segments) == 5
    for segment in segments[:4]:
        os.truncate(segment, 100_000)
    with Receiver(server.destination_ports["MOVEDEST1"]):
        final, data = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study))[-1]
    assert final[0x0900] == 0xB000 and counters(final) == (None, 1, 4, 0)
    assert set(data.FailedSOPInstanceUIDList) == {ds.SOPInstanceUID for ds in datasets[:4]}


def test_MOV_04_a_destination_that_answers_wrongly(server, tree):
    with Receiver(server.destination_ports["MOVEDEST1"], wrong_id=True):
        final, _ = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=tree[0].StudyInstanceUID))[-1]
    assert final[0x0900] == 0xA702 and final[0x1022] == 3


@pytest.mark.parametrize("statuses, final_status, expected", [
    ([0, 0, 0], 0x0000, (3, 0, 0)), ([0, 0xA700, 0], 0xB000, (2, 1, 0)), ([0xA700, 0xC000, 0x0110], 0xA702, (0, 3, 0)),
    ([0xB000, 0xB007, 0xB006], 0xB000, (0, 0, 3)), ([0, 0xB000, 0], 0xB000, (2, 0, 1)),
    ([0xB000, 0xA900, 0xC000], 0xB000, (0, 2, 1)),
])
def test_MOV_05_final_status_of_failures_and_warnings(server, tree, statuses, final_status, expected):
    with Receiver(server.destination_ports["MOVEDEST1"], status=lambda number, _: statuses[number]) as receiver:
        final, data = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=tree[0].StudyInstanceUID))[-1]
        assert final[0x0900] == final_status
        assert counters(final) == (None, *expected)
        failed = [one.command[0x1000] for one, status in zip(receiver.stored, statuses) if status >> 12 in (0, 0xA, 0xC)
                  and status]
    if expected[1]:
        listed = data.FailedSOPInstanceUIDList
        assert sorted([listed] if isinstance(listed, str) else listed) == sorted(failed)
        assert "SpecificCharacterSet" not in data
    else:
        assert data is None


def test_MOV_06_a_long_list_of_failed_uids(server):
    study, series = new_uid(), new_uid()
    uids = [f"1.2.826.0.1.3680043.9.9.{10**35 + i}" for i in range(3000)]
    store_many(server, [make(study, series, SOPInstanceUID=uid, Rows=1, Columns=1) for uid in uids])
    with Receiver(server.destination_ports["MOVEDEST1"], syntaxes=[BIG_ENDIAN]):
        final, data = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study))[-1]
    assert final[0x0900] == 0xA702 and final[0x1022] == len(uids)
    element = data[0x00080058]
    content = element.value
    listed = content.rstrip(b"\0").decode().split("\\") if isinstance(content, bytes) else list(content)
    assert sorted(listed) == sorted(uids)


def test_MOV_08_cancel(server):
    study, series = new_uid(), new_uid()
    store_all(server, [make(study, series, InstanceNumber=i) for i in range(10)])
    with Receiver(server.destination_ports["MOVEDEST1"], delay=0.1) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        identity = association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study),
                                       elements={0x0600: "MOVEDEST1"})
        association.read_message()
        association.cancel(1, identity)
        final = association.answers(1)[-1][0]
        assert final[0x0900] == 0xFE00 and final[0x1020] > 0 and sum(counters(final)) == 10
        association.release()
        receiver.wait_ended()
        assert len(receiver.stored) == final[0x1021]


def test_MOV_09_nothing_matches(server):
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        answers = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=new_uid()))
        assert len(answers) == 1
        assert answers[0][0][0x0900] == 0 and counters(answers[0][0]) == (None, 0, 0, 0)
        assert receiver.requests == []


def test_MOV_10_identifiers_that_cannot_be(server, tree):
    study = tree[0].StudyInstanceUID
    wrong = [
        (STUDY_MOVE, keys(StudyInstanceUID=study)), (STUDY_MOVE, keys(QueryRetrieveLevel="PATIENT", PatientID="X")),
        (STUDY_MOVE, keys(QueryRetrieveLevel="STUDY")), (STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID="")),
        (STUDY_MOVE, keys(QueryRetrieveLevel="SERIES", SeriesInstanceUID=tree[0].SeriesInstanceUID)),
        (PATIENT_MOVE, keys(QueryRetrieveLevel="PATIENT", PatientID="MOV*")),
        (PATIENT_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study)),
        (STUDY_MOVE, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID="*")),
    ]
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        for root, query in wrong:
            answers = move(server, query, root)
            assert len(answers) == 1 and answers[0][0][0x0900] == 0xA900, query
        assert receiver.requests == []


def test_MOV_11_sub_operations_name_who_asked(server, tree):
    with Receiver(server.destination_ports["MOVEDEST2"]) as receiver:
        for priority in (0, 1, 2):
            move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=tree[3].StudyInstanceUID),
                 destination="MOVEDEST2", calling="WORKSTATION 7", message_id=321 + priority,
                 elements={0x0700: priority})
        for priority, one in enumerate(receiver.stored):
            assert one.command[0x1030] == "WORKSTATION 7"
            assert one.command[0x1031] == 321 + priority
            assert one.command[0x0700] == priority
        assert len(receiver.stored) == 3
        assert receiver.requests[0][4:20] == b"MOVEDEST2".ljust(16)
        assert receiver.requests[0][20:36] == server.ae_title.encode().ljust(16)


def test_MOV_12_transcoded_for_a_destination_that_takes_only_implicit(server):
    ds = make(Rows=64, Columns=64)
    study = ds.StudyInstanceUID
    big = make(study, Rows=64, Columns=64)
    private = make(study)
    association = Association(server, [(1, CT, [EXPLICIT]), (3, CT, [BIG_ENDIAN]), (5, CT, ["1.2.826.0.1.3680043.2.1143.9"])])
    assert association.store(ds, 1)[0x0900] == 0
    assert association.store(big, 3)[0x0900] == 0
    unreadable = pydicom.dcmread(io.BytesIO(part10(private)))
    del unreadable.file_meta
    unreadable.PixelData = pydicom.encaps.encapsulate([b"\1\2\3\4"])
    unreadable["PixelData"].VR = "OB"
    unreadable["PixelData"].is_undefined_length = True
    assert association.store(encode(unreadable), 5, sop_class=CT, sop_instance=private.SOPInstanceUID)[0x0900] == 0
    association.release()
    with Receiver(server.destination_ports["MOVEDEST1"], syntaxes=[IMPLICIT]) as receiver:
        final, data = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study))[-1]
        assert final[0x0900] == 0xB000 and counters(final) == (None, 2, 1, 0)
        assert data.FailedSOPInstanceUIDList == private.SOPInstanceUID
        for one in receiver.stored:
            assert one.syntax == IMPLICIT
            sent = ds if one.command[0x1000] == ds.SOPInstanceUID else big
            got = decode(one.content, IMPLICIT)
            assert got.PatientName == sent.PatientName and got.SOPInstanceUID == sent.SOPInstanceUID
            assert bytes(got.PixelData) == (ds.PixelData if sent is ds else swapped(big.PixelData))


RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"


@pytest.mark.parametrize("syntax", [RLE, JPEG_LS, JPEG_2000])
def test_MOV_12_encoded_for_a_destination_that_takes_nothing_else(server, syntax, tmp_path):
    """What arrives is decoded by DCMTK or Pillow, which are not ours, to the pixels that were stored."""
    ds = make(Rows=40, Columns=30, BitsStored=12, HighBit=11,
              PixelData=b"".join(((x * 37 + y * 11) % 4096).to_bytes(2, "little") for y in range(40) for x in range(30)))
    lossy = make(ds.StudyInstanceUID, LossyImageCompression="01", BitsAllocated=8, BitsStored=8, HighBit=7)
    content = encode(lossy)
    at = content.index(b"\xE0\x7F\x10\x00OW")
    content = content[:at] + b"\xE0\x7F\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xFE\xFF\x00\xE0\0\0\0\0" \
        b"\xFE\xFF\x00\xE0\x04\0\0\0\xff\xd8\xff\xd9" + b"\xFE\xFF\xDD\xE0\0\0\0\0"
    association = Association(server, [(1, CT, [EXPLICIT]), (3, CT, ["1.2.840.10008.1.2.4.50"])])
    assert association.store(ds, 1)[0x0900] == 0
    assert association.store(content, 3, sop_class=CT, sop_instance=lossy.SOPInstanceUID)[0x0900] == 0
    association.release()
    with Receiver(server.destination_ports["MOVEDEST1"], syntaxes=[syntax]) as receiver:
        final, data = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID))[-1]
    assert final[0x0900] == 0xB000 and counters(final) == (None, 1, 1, 0)
    assert data.FailedSOPInstanceUIDList == lossy.SOPInstanceUID, "nothing lossless of what has lost something"
    one = receiver.stored[0]
    assert one.syntax == syntax
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    got = decode(one.content)
    got.file_meta = meta
    assert got.PatientName == ds.PatientName and got.PhotometricInterpretation == "MONOCHROME2"
    path = tmp_path / "got.dcm"
    pydicom.dcmwrite(path, got, enforce_file_format=True)
    if syntax == JPEG_2000:
        from PIL import Image
        frame = pydicom.encaps.get_frame(got.PixelData, 0, number_of_frames=1)
        words = struct.unpack("<1200H", Image.open(io.BytesIO(frame)).convert("I;16").tobytes())
        assert struct.pack("<1200H", *(word >> 4 for word in words)) == ds.PixelData, "Pillow shifts 12 bits up"
        return
    tool = {RLE: "dcmdrle", JPEG_LS: "dcmdjpls"}[syntax]
    subprocess.run([tool, str(path), str(tmp_path / "native.dcm")], check=True, timeout=30, capture_output=True)
    assert pydicom.dcmread(tmp_path / "native.dcm").PixelData == ds.PixelData


def test_MOV_12_native_is_preferred_where_the_destination_takes_all(server):
    """Of what the destination takes, what costs it and us least: Big Endian goes out as Explicit, not encoded."""
    ds = make()
    association = Association(server, [(1, CT, [BIG_ENDIAN])])
    assert association.store(ds, 1)[0x0900] == 0
    association.release()
    with Receiver(server.destination_ports["MOVEDEST1"], syntaxes=[JPEG_LS, EXPLICIT, IMPLICIT, RLE]) as receiver:
        assert move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID))[-1][0][0x0900] == 0
    assert receiver.stored[0].syntax == EXPLICIT


def test_MOV_14_lossy_flags_stay_when_an_image_is_decompressed(server):
    jpeg = io.BytesIO()
    from PIL import Image
    Image.linear_gradient("L").resize((16, 16)).save(jpeg, "JPEG")
    ds = make(BitsAllocated=8, BitsStored=8, HighBit=7, LossyImageCompression="01", LossyImageCompressionRatio="7.5",
              LossyImageCompressionMethod="ISO_10918_1", PixelData=pydicom.encaps.encapsulate([jpeg.getvalue()]))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    association = Association(server, [(1, CT, ["1.2.840.10008.1.2.4.50"])])
    assert association.store(encode(ds), 1, sop_class=CT, sop_instance=ds.SOPInstanceUID)[0x0900] == 0
    association.release()
    with Receiver(server.destination_ports["MOVEDEST1"], syntaxes=[IMPLICIT]) as receiver:
        assert move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID))[-1][0][0x0900] == 0
    got = decode(receiver.stored[0].content, IMPLICIT)
    assert got.LossyImageCompression == "01" and got.LossyImageCompressionRatio == 7.5
    assert got.LossyImageCompressionMethod == "ISO_10918_1" and got.SOPInstanceUID == ds.SOPInstanceUID
    assert len(got.PixelData) == 256


def test_MOV_10_relational_retrieval_where_it_is_agreed(server, tree):
    information = item(0x56, struct.pack(">H", len(STUDY_MOVE)) + STUDY_MOVE.encode() + b"\1")
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])], user=user_information(extra=information))
        association.request(1, 0x21, STUDY_MOVE, keys(QueryRetrieveLevel="IMAGE", SOPInstanceUID=tree[2].SOPInstanceUID),
                            elements={0x0600: "MOVEDEST1"})
        assert association.answers(1)[-1][0][0x0900] == 0
        association.release()
        assert [one.command[0x1000] for one in receiver.stored] == [tree[2].SOPInstanceUID]


def test_MOV_07_remaining_is_told_while_it_means_something(server, tree):
    """Absent from success, warning and failure; present while pending and when cancelled (MOV-08)."""
    query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=tree[0].StudyInstanceUID)
    for status, expected in ((0, 0), (0xB000, 0xB000), (0xA700, 0xA702)):
        with Receiver(server.destination_ports["MOVEDEST1"], status=lambda *_: status):
            answers = move(server, query)
        assert answers[-1][0][0x0900] == expected and 0x1020 not in answers[-1][0]
        assert all(number in answers[-1][0] for number in (0x1021, 0x1022, 0x1023))
        assert all(0x1020 in answer for answer, _ in answers[:-1])


def test_HOS_30_a_move_to_the_server_itself_stores_nothing_anew(start_server):
    server = start_server()
    server.stop()
    server.settings["dimse"]["peers"].append({"aeTitle": server.ae_title, "host": "127.0.0.1", "port": server.dimse_port})
    server.start()
    datasets = [make() for _ in range(2)]
    store_all(server, datasets)
    segments = sum(path.stat().st_blocks for path in (server.data_dir / "segments").iterdir())
    for ds in datasets * 3:
        final, _ = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                        destination=server.ae_title)[-1]
        assert final[0x0900] == 0 and final[0x1021] == 1
    assert sum(path.stat().st_blocks for path in (server.data_dir / "segments").iterdir()) == segments


def test_HOS_30_many_equal_moves_at_once(server, tree):
    query = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=tree[0].StudyInstanceUID)
    finals = []
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        workers = [threading.Thread(target=lambda: finals.append(move(server, query)[-1][0]), daemon=True) for _ in range(20)]
        for worker in workers:
            worker.start()
        join_all(workers)
        assert len(finals) == 20 and all(final[0x0900] == 0 and final[0x1021] == 3 for final in finals)
        assert len(receiver.stored) == 60


def swapped(words):
    return b"".join(words[i + 1:i + 2] + words[i:i + 1] for i in range(0, len(words), 2))


def test_MOV_13_more_combinations_than_one_association_can_propose(server):
    study = new_uid()
    classes = [f"1.2.826.0.1.3680043.2.1143.77.{i}" for i in range(1, 101)]
    datasets = [make(study, SOPClassUID=uid, Rows=1, Columns=1) for uid in classes]
    store_all(server, datasets)
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        final = move(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study))[-1][0]
        assert final[0x0900] == 0 and final[0x1021] == 100
        assert {one.command[0x1000] for one in receiver.stored} == {ds.SOPInstanceUID for ds in datasets}
        assert len(receiver.requests) == 2


def test_MOV_01_movescu_to_storescp_of_dcmtk(server, tree, tmp_path):
    port = server.destination_ports["MOVEDEST2"]
    receiver = subprocess.Popen(["storescp", "-od", str(tmp_path), str(port)], stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while subprocess.run(["echoscu", "127.0.0.1", str(port)], capture_output=True, timeout=10).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        subprocess.run(["movescu", "-S", "-aec", server.ae_title, "-aem", "MOVEDEST2", "127.0.0.1",
                        str(server.dimse_port), "-k", "QueryRetrieveLevel=STUDY", "-k",
                        f"StudyInstanceUID={tree[0].StudyInstanceUID}"], check=True, timeout=30, capture_output=True)
        files = list(tmp_path.iterdir())
        assert len(files) == 3
        got = {pydicom.dcmread(path).SOPInstanceUID for path in files}
        assert got == {ds.SOPInstanceUID for ds in tree[:3]}
    finally:
        receiver.terminate()
        receiver.wait(10)


@pytest.fixture()
def lanes(start_server):
    """A server whose destination is sent to over four associations at once: (server, port)."""
    from conftest import free_port
    port = free_port()
    server = start_server(settings={"dimse": {"peers": [
        {"aeTitle": "WIDE", "host": "127.0.0.1", "port": port, "associations": 4}, {"aeTitle": "TEST"}, {"aeTitle": "MOVER"}]}})
    return server, port


def one_study(server, count, **attributes):
    study, series = new_uid(), new_uid()
    datasets = [make(study, series, InstanceNumber=i, **attributes) for i in range(count)]
    store_all(server, datasets)
    return datasets


def of_study(datasets):
    return keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=datasets[0].StudyInstanceUID)


def test_MOV_13_several_associations_at_once_where_it_is_configured(lanes):
    server, port = lanes
    datasets = one_study(server, 24)
    with Receiver(port, delay=0.05) as receiver:
        answers = move(server, of_study(datasets), destination="WIDE")
        ended = receiver.wait_ended(4)
    assert answers[-1][0][0x0900] == 0 and counters(answers[-1][0]) == (None, 24, 0, 0)
    assert len(receiver.requests) == 4 and ended == ["released"] * 4
    assert sorted(one.command[0x1000] for one in receiver.stored) == sorted(ds.SOPInstanceUID for ds in datasets)
    by_uid = {ds.SOPInstanceUID: ds for ds in datasets}
    assert all(one.content == encode(by_uid[one.command[0x1000]]) for one in receiver.stored)
    pending = [counters(answer) for answer, _ in answers[:-1]]
    assert pending and all(sum(counts) == 24 for counts in pending)
    assert [counts[0] for counts in pending] == sorted((counts[0] for counts in pending), reverse=True)


def test_MOV_13_no_more_associations_than_instances(lanes):
    server, port = lanes
    datasets = one_study(server, 2)
    with Receiver(port) as receiver:
        assert counters(move(server, of_study(datasets), destination="WIDE")[-1][0]) == (None, 2, 0, 0)
    assert 1 <= len(receiver.requests) <= 2


def test_MOV_13_what_is_refused_on_one_of_several_associations_is_named(lanes):
    server, port = lanes
    datasets = one_study(server, 12)
    refused = {datasets[3].SOPInstanceUID, datasets[8].SOPInstanceUID}
    with Receiver(port, status=lambda _, request: 0xA700 if request[0x1000] in refused else 0):
        final, data = move(server, of_study(datasets), destination="WIDE")[-1]
    assert final[0x0900] == 0xB000 and counters(final) == (None, 10, 2, 0)
    assert set(data.FailedSOPInstanceUIDList) == refused


def test_MOV_13_cancel_ends_what_runs_on_all_associations_and_begins_no_more(lanes):
    server, port = lanes
    datasets = one_study(server, 60)
    with Receiver(port, delay=0.1) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])], calling="MOVER")
        association.request(1, 0x21, STUDY_MOVE, of_study(datasets), 7, elements={0x0600: "WIDE"})
        until(lambda: len(receiver.stored) >= 6, "the sixth instance")
        association.cancel(1, 7)
        final, _ = association.answers(1)[-1]
        receiver.wait_ended(4)
        association.release()
    remaining, completed, failed, warned = counters(final)
    assert final[0x0900] == 0xFE00 and remaining > 0 and failed == warned == 0 and remaining + completed == 60
    assert len(receiver.stored) == completed


def test_MOV_13_a_destination_that_takes_one_association_only_gets_all_over_it(lanes):
    """The second and later ones are rejected: what the first one takes is no failure."""
    server, port = lanes
    datasets = one_study(server, 12)

    class One(Receiver):
        def _negotiate(self, body):
            self.reject = True
            return super()._negotiate(body)

    with One(port, delay=0.05) as receiver:
        final, _ = move(server, of_study(datasets), destination="WIDE")[-1]
    assert final[0x0900] == 0 and counters(final) == (None, 12, 0, 0) and len(receiver.stored) == 12


def test_MOV_13_an_association_that_is_lost_costs_only_what_was_under_way(lanes):
    server, port = lanes
    datasets = one_study(server, 20)
    lost = [datasets[3].SOPInstanceUID, datasets[9].SOPInstanceUID]

    def status(_, request):
        if request[0x1000] in lost:
            raise OSError("the receiver ends without an answer")
        return 0

    with Receiver(port, status=status) as receiver:
        final, data = move(server, of_study(datasets), destination="WIDE")[-1]
    assert final[0x0900] == 0xB000 and counters(final)[1] + counters(final)[2] == 20
    assert set(data.FailedSOPInstanceUIDList) == set(lost) and len(receiver.stored) == 18


def test_MOV_13_a_destination_that_is_down_has_failed_as_a_whole(lanes):
    server, _ = lanes
    datasets = one_study(server, 6)
    final, data = move(server, of_study(datasets), destination="WIDE")[-1]
    assert final[0x0900] == 0xA702 and counters(final) == (None, 0, 6, 0) and len(data.FailedSOPInstanceUIDList) == 6


class Silent(Receiver):
    """Takes all that is sent and answers nothing of it."""

    def __init__(self, port):
        self.pieces = []  # appended to by a thread for each association
        super().__init__(port)

    @property
    def taken(self):
        return sum(self.pieces)

    def _serve(self, wire):
        answer, _ = self._negotiate(wire.read()[1])
        wire.send(answer)
        try:
            while got := wire.sock.recv(1 << 16):
                self.pieces.append(len(got))
            self.ended.append("closed")
        except ConnectionResetError:
            self.ended.append("reset")


@pytest.mark.parametrize("destination, running", [("WIDE", 4), ("NARROW", 1)])
def test_MOV_08_cancel_does_not_wait_for_a_destination_that_never_answers(start_server, destination, running):
    from conftest import free_port
    port = free_port()
    server = start_server(settings={"dimse": {"messageTimeoutSeconds": 300, "peers": [
        {"aeTitle": destination, "host": "127.0.0.1", "port": port, "associations": running}, {"aeTitle": "TEST"}]}})
    datasets = one_study(server, 9)
    with Silent(port) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE, of_study(datasets), 7, elements={0x0600: destination})
        until(lambda: len(receiver.requests) >= running and receiver.taken >= running * 1000, "what each association sends")
        association.cancel(1, 7)
        final, _ = association.answers(1)[-1]
        association.release()
    assert final[0x0900] == 0xFE00 and counters(final) == (9 - running, 0, running, 0)


def test_MOV_08_cancel_amid_answers_does_not_wait_for_the_one_that_never_comes(start_server):
    from conftest import free_port
    port = free_port()
    server = start_server(settings={"dimse": {"messageTimeoutSeconds": 300, "peers": [
        {"aeTitle": "WIDE", "host": "127.0.0.1", "port": port, "associations": 2}, {"aeTitle": "TEST"}]}})
    datasets = one_study(server, 200)
    first, over = [], threading.Event()

    def status(_, request):
        if not first:
            first.append(request[0x1000])
            over.wait(200)
        return 0

    with Receiver(port, status=status, delay=0.02) as receiver:
        try:
            association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
            association.request(1, 0x21, STUDY_MOVE, of_study(datasets), 7, elements={0x0600: "WIDE"})
            until(lambda: len(receiver.stored) >= 6, "what goes over the other association")
            association.cancel(1, 7)
            final, _ = association.answers(1)[-1]
            association.release()
        finally:
            over.set()
    remaining, completed, failed, warned = counters(final)
    assert final[0x0900] == 0xFE00
    assert failed == 1
    assert warned == 0
    assert remaining > 0
    assert remaining + completed == 199


def test_MOV_13_wrong_answers_on_all_associations_end_them_and_are_failures(lanes):
    server, port = lanes
    datasets = one_study(server, 12)
    with Receiver(port, wrong_id=True):
        final, _ = move(server, of_study(datasets), destination="WIDE")[-1]
    assert final[0x0900] == 0xA702 and counters(final) == (None, 0, 12, 0)


def test_MOV_13_a_server_that_stops_waits_for_no_destination(start_server):
    from conftest import free_port
    port = free_port()
    server = start_server(settings={"dimse": {"messageTimeoutSeconds": 300, "peers": [
        {"aeTitle": "WIDE", "host": "127.0.0.1", "port": port, "associations": 4}, {"aeTitle": "TEST"}]}})
    datasets = one_study(server, 9)
    with Silent(port) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE, of_study(datasets), 7, elements={0x0600: "WIDE"})
        until(lambda: len(receiver.requests) >= 4, "four associations")
        assert server.stop() == 0
        receiver.wait_ended(4)
