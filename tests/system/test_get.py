# SPDX-License-Identifier: MIT
"""C-GET (PS3.4 C.4.3)."""
import os
import subprocess

import pydicom
import pytest
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelGet

from test_mov import store_tree
from upper_layer import (
    BIG_ENDIAN, COMMAND, CT, EXPLICIT, IMPLICIT, Association, busy, command, decode, encode, fragments, keys, role, store_all,
    user_information,
)
from web import MR, make, new_uid

PATIENT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_GET = "1.2.840.10008.5.1.4.1.2.3.3"
LEVELS = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


@pytest.fixture(scope="module")
def tree(server):
    return store_tree(server, "GET")


class Getter(Association):
    """Context 1 is the model, 3, 5 ... the storage classes; `roles` are those proposed with SCP."""

    def __init__(self, server, root=STUDY_GET, storage=((CT, EXPLICIT), (MR, EXPLICIT)), roles=(CT, MR), length=16384,
                 syntax=EXPLICIT):
        contexts = [(1, root, [syntax])] + [(2 * i + 3, uid, [ts]) for i, (uid, ts) in enumerate(storage)]
        extra = b"".join(role(uid, 0, 1) for uid in roles)
        super().__init__(server, contexts, user=user_information(length, extra))
        self.root, self.got = root, []

    def answer(self, number, request, status=0, **more):
        elements = {0x0002: request[0x0002], 0x0100: 0x8001, 0x0120: request[0x0110], 0x0800: 0x0101, 0x0900: status,
                    0x1000: request[0x1000]}
        elements.update(more)
        self.send_message(number, elements)

    def get(self, ds, status=lambda number, request: 0):
        """The responses to a C-GET; what is stored meanwhile goes to self.got: (command, transfer syntax, bytes)."""
        self.request(1, 0x10, self.root, ds)
        responses = []
        while True:
            number, answer, content = self.read_message()
            if answer[0x0100] == 1:
                self.got.append((answer, self.syntax(number), content))
                self.answer(number, answer, status(len(self.got) - 1, answer))
                continue
            assert answer[0x0100] == 0x8010, answer
            responses.append((answer, None if content is None else decode(content, self.syntax(1))))
            if answer[0x0900] & 0xFF00 != 0xFF00:
                return responses


def counters(answer):
    return tuple(answer.get(number) for number in (0x1020, 0x1021, 0x1022, 0x1023))


def of_study(ds, **more):
    return keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID, **more)


@pytest.mark.parametrize("root, level, expected", [
    (PATIENT_GET, "PATIENT", {0, 1, 2, 3}), (PATIENT_GET, "STUDY", {0, 1, 2}), (PATIENT_GET, "SERIES", {0, 1}),
    (PATIENT_GET, "IMAGE", {0}), (STUDY_GET, "STUDY", {0, 1, 2}), (STUDY_GET, "SERIES", {0, 1}),
    (STUDY_GET, "IMAGE", {0}), (PATIENT_STUDY_GET, "PATIENT", {0, 1, 2, 3}), (PATIENT_STUDY_GET, "STUDY", {0, 1, 2}),
])
def test_GET_01_every_level_of_all_models(server, tree, root, level, expected):
    names = list(LEVELS)
    named = names[1 if root == STUDY_GET else 0:names.index(level) + 1]
    association = Getter(server, root)
    answers = association.get(keys(QueryRetrieveLevel=level, **{LEVELS[n]: tree[0][LEVELS[n]].value for n in named}))
    final, data = answers[-1]
    assert final[0x0900] == 0 and data is None and counters(final) == (None, len(expected), 0, 0)
    for answer, _ in answers[:-1]:
        assert answer[0x0900] == 0xFF00 and sum(counters(answer)) == len(expected)
    assert {request[0x1000] for request, _, _ in association.got} == {tree[i].SOPInstanceUID for i in expected}
    for request, syntax, content in association.got:
        ds = next(ds for ds in tree if ds.SOPInstanceUID == request[0x1000])
        assert content == encode(ds) and syntax == EXPLICIT and request[0x0002] == ds.SOPClassUID
        assert 0x1030 not in request and 0x1031 not in request, "nobody moves"
    # the association is of use for more
    assert association.get(of_study(tree[3], PatientID=tree[3].PatientID))[-1][0][0x1021] == 1
    association.release()


def test_GET_01_the_scp_role_is_granted_to_storage_classes_that_proposed_it(server):
    association = Getter(server, roles=(CT,))
    assert association.accepted.sub_items(0x54) == [role(CT, 0, 1)[4:]]
    association.release()


def test_GET_01_nothing_matches(server):
    association = Getter(server)
    answers = association.get(keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=new_uid()))
    assert len(answers) == 1 and answers[0][0][0x0900] == 0 and counters(answers[0][0]) == (None, 0, 0, 0)
    association.release()


def test_GET_01_identifiers_that_cannot_be(server, tree):
    association = Getter(server)
    for query in (keys(StudyInstanceUID=tree[0].StudyInstanceUID), keys(QueryRetrieveLevel="PATIENT", PatientID="X"),
                  keys(QueryRetrieveLevel="STUDY"), keys(QueryRetrieveLevel="STUDY", StudyInstanceUID="*"),
                  keys(QueryRetrieveLevel="SERIES", SeriesInstanceUID=tree[0].SeriesInstanceUID)):
        answers = association.get(query)
        assert len(answers) == 1 and answers[0][0][0x0900] == 0xA900, query
    association.release()


@pytest.mark.parametrize("storage, roles", [
    (((CT, EXPLICIT),), (CT,)),
    (((CT, EXPLICIT), (MR, EXPLICIT)), (CT,)),
])
def test_GET_02_a_sop_class_without_the_scp_role_fails_alone(server, tree, storage, roles):
    association = Getter(server, storage=storage, roles=roles)
    final, data = association.get(of_study(tree[0]))[-1]
    assert final[0x0900] == 0xB000 and counters(final) == (None, 2, 1, 0)
    assert data.FailedSOPInstanceUIDList == tree[2].SOPInstanceUID and "SpecificCharacterSet" not in data
    assert {request[0x1000] for request, _, _ in association.got} == {ds.SOPInstanceUID for ds in tree[:2]}
    association.release()


def test_GET_02_no_role_at_all(server, tree):
    association = Getter(server, roles=())
    final, data = association.get(of_study(tree[0]))[-1]
    assert final[0x0900] == 0xA702 and counters(final) == (None, 0, 3, 0) and association.got == []
    assert set(data.FailedSOPInstanceUIDList) == {ds.SOPInstanceUID for ds in tree[:3]}
    association.release()


def test_GET_03_transcoded_for_a_context_of_another_transfer_syntax(server):
    ds = make(Rows=64, Columns=64)
    big = make(ds.StudyInstanceUID, Rows=64, Columns=64)
    odd = make(ds.StudyInstanceUID)
    association = Association(server, [(1, CT, [EXPLICIT]), (3, CT, [BIG_ENDIAN]), (5, CT, ["1.2.826.0.1.3680043.2.1143.9"])])
    assert association.store(ds, 1)[0x0900] == 0
    assert association.store(big, 3)[0x0900] == 0
    content = encode(odd)
    at = content.index(b"\xE0\x7F\x10\x00OW")
    content = content[:at] + b"\xE0\x7F\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xFE\xFF\x00\xE0\0\0\0\0" \
        b"\xFE\xFF\x00\xE0\x04\0\0\0\1\2\3\4" + b"\xFE\xFF\xDD\xE0\0\0\0\0"
    assert association.store(content, 5, sop_class=CT, sop_instance=odd.SOPInstanceUID)[0x0900] == 0
    association.release()
    association = Getter(server, storage=((CT, IMPLICIT),), roles=(CT,))
    final, data = association.get(of_study(ds))[-1]
    assert final[0x0900] == 0xB000 and counters(final) == (None, 2, 1, 0)
    assert data.FailedSOPInstanceUIDList == odd.SOPInstanceUID
    for request, syntax, content in association.got:
        assert syntax == IMPLICIT
        sent = ds if request[0x1000] == ds.SOPInstanceUID else big
        words = bytes(sent.PixelData)
        if sent is big:
            words = b"".join(words[i + 1:i + 2] + words[i:i + 1] for i in range(0, len(words), 2))
        assert decode(content, IMPLICIT).PixelData == words
    association.release()


@pytest.mark.parametrize("statuses, final_status, expected", [
    ([0, 0xA700, 0], 0xB000, (2, 1, 0)), ([0xA700, 0xC000, 0x0110], 0xA702, (0, 3, 0)),
    ([0xB000, 0xB007, 0xB006], 0xB000, (0, 0, 3)), ([0xB000, 0xA900, 0xC000], 0xB000, (0, 2, 1)),
])
def test_GET_04_what_the_client_answers_is_counted(server, tree, statuses, final_status, expected):
    association = Getter(server)
    final, data = association.get(of_study(tree[0]), lambda number, _: statuses[number])[-1]
    assert final[0x0900] == final_status and counters(final) == (None, *expected)
    failed = [request[0x1000] for (request, _, _), status in zip(association.got, statuses) if status >> 12 in (0, 10, 12)
              and status]
    listed = data.FailedSOPInstanceUIDList if data else []
    assert sorted([listed] if isinstance(listed, str) else listed) == sorted(failed)
    association.release()


@pytest.fixture(scope="module")
def many(server):
    study, series = new_uid(), new_uid()
    datasets = [make(study, series, InstanceNumber=i) for i in range(10)]
    store_all(server, datasets)
    return datasets


def test_GET_04_cancel(server, many):
    association = Getter(server)
    identity = association.request(1, 0x10, STUDY_GET, of_study(many[0]))
    stored = 0
    while True:
        number, answer, content = association.read_message()
        if answer[0x0100] == 1:
            stored += 1
            if stored == 3:
                association.cancel(1, identity)
            association.answer(number, answer)
        elif answer[0x0900] != 0xFF00:
            break
    assert answer[0x0900] == 0xFE00 and counters(answer) == (7, 3, 0, 0) and stored == 3
    assert association.is_silent(0.2)
    assert association.get(of_study(many[0]))[-1][0][0x1021] == 10
    association.release()


def test_GET_04_abort_and_close_stop_everything(server, many):
    for end in ("abort", "close", "reset"):
        association = Getter(server)
        association.request(1, 0x10, STUDY_GET, of_study(many[0]))
        assert association.read_message()[1][0x0100] == 1
        getattr(association, end)()
    association = Getter(server)
    assert association.get(of_study(many[0]))[-1][0][0x0900] == 0
    association.release()


def test_GET_04_release_in_the_middle_ends_it_as_a_cancel_does(server, many):
    association = Getter(server)
    association.request(1, 0x10, STUDY_GET, of_study(many[0]))
    assert association.read_message()[1][0x0100] == 1
    association.send(b"\5\0\0\0\0\4" + bytes(4))
    seen = []
    while (answer := association.read()) is not None and answer[0] == 4:
        seen.append(answer)
    assert answer == (6, bytes(4)) and len(seen) <= 2
    association.close()


def test_GET_04_a_client_that_never_answers(start_server):
    server = start_server(settings={"dimse": {"messageTimeoutSeconds": 0.4}})
    ds = make()
    store_all(server, [ds])
    association = Getter(server)
    association.request(1, 0x10, STUDY_GET, of_study(ds))
    assert association.read_message()[1][0x0100] == 1
    while (answer := association.read()) is not None and answer[0] == 4:
        pass
    assert answer is None or answer[0] == 7, "A-ABORT, or a reset where pages of the instance wait"
    association.close()


def test_GET_04_other_requests_and_wrong_answers_meanwhile(server, many):
    """None of them belongs there; none of them does harm."""
    association = Getter(server)
    association.request(1, 0x10, STUDY_GET, of_study(many[0]))
    number, request, _ = association.read_message()
    association.answer(number, request, **{})  # the right one
    number, request, _ = next(m for m in iter(association.read_message, None) if m[1][0x0100] == 1)
    wrong = dict(request)
    wrong[0x0110] += 4711
    association.answer(number, wrong)
    association.cancel(1, 9999)
    association.send_message(1, {0x0002: STUDY_GET, 0x0100: 0x10, 0x0110: 77, 0x0700: 0, 0x0800: 1},
                             encode(of_study(many[0])))
    association.answer(number, request)
    statuses = {}
    stored = 2
    while True:
        number, answer, content = association.read_message()
        if answer[0x0100] == 1:
            stored += 1
            association.answer(number, answer)
        elif answer[0x0900] & 0xFF00 != 0xFF00:
            statuses[answer[0x0120]] = answer[0x0900]
            if 1 in statuses:
                break
    assert statuses == {1: 0, 77: 0x0213} and stored == 10
    association.release()


def test_GET_02_a_file_that_cannot_be_read_costs_its_own_sub_operation_only(start_server):
    server = start_server(settings={"data": {"segmentSizeMiB": 1}})
    study, series = new_uid(), new_uid()
    datasets = [make(study, series, InstanceNumber=i, Rows=512, Columns=512, PixelData=bytes(512 * 512 * 2))
                for i in range(1, 4)]
    store_all(server, datasets)
    segments = sorted((server.data_dir / "segments").iterdir())
    os.truncate(segments[0], 100_000)
    association = Getter(server)
    final, data = association.get(of_study(datasets[0]))[-1]
    assert final[0x0900] == 0xB000 and counters(final) == (None, 2, 1, 0)
    assert data.FailedSOPInstanceUIDList == datasets[0].SOPInstanceUID
    association.release()


WITHOUT_BULK = "1.2.840.10008.5.1.4.1.2.5.3"


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.5"])
def test_GET_05_without_bulk_data(server, syntax):
    """Everything but pixels, overlays and waveforms, also where these are in a syntax that nobody decodes."""
    wave = keys(WaveformBitsAllocated=16)
    wave.add_new(0x54001010, "OW", b"\1\2\3\4")
    ds = make(Rows=8, Columns=8, WaveformSequence=[wave], StudyDescription="Kept")
    ds.add_new(0x60003000, "OW", bytes(8))
    ds.add_new(0x60000010, "US", 8)
    other = make(ds.StudyInstanceUID, ds.SeriesInstanceUID, InstanceNumber=2)
    content = encode(other)
    at = content.index(b"\xE0\x7F\x10\x00OW")
    content = content[:at] + b"\xE0\x7F\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xFE\xFF\x00\xE0\0\0\0\0" \
        b"\xFE\xFF\x00\xE0\x04\0\0\0\1\2\3\4" + b"\xFE\xFF\xDD\xE0\0\0\0\0"
    association = Association(server, [(1, CT, [EXPLICIT]), (3, CT, ["1.2.840.10008.1.2.4.110"])])
    assert association.store(ds, 1)[0x0900] == 0
    assert association.store(content, 3, sop_class=CT, sop_instance=other.SOPInstanceUID)[0x0900] == 0
    association.release()
    association = Getter(server, WITHOUT_BULK, storage=((CT, syntax),), roles=(CT,))
    final, _ = association.get(keys(QueryRetrieveLevel="IMAGE",
                                    SOPInstanceUID=[ds.SOPInstanceUID, other.SOPInstanceUID]))[-1]
    assert final[0x0900] == 0 and counters(final) == (None, 2, 0, 0)
    got = {request[0x1000]: decode(content, syntax) for request, _, content in association.got}
    for sent in (ds, other):
        expected = decode(encode(sent))
        for tag in (0x7FE00010, 0x60003000):
            if tag in expected:
                del expected[tag]
        if "WaveformSequence" in expected:
            del expected.WaveformSequence[0][0x54001010]
        found = got[sent.SOPInstanceUID]
        assert [element.tag for element in found.iterall()] == [element.tag for element in expected.iterall()]
        assert all(str(a.value) == str(b.value) for a, b in zip(found.iterall(), expected.iterall()) if a.VR != "SQ")
    for query in (keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID), keys(QueryRetrieveLevel="IMAGE")):
        assert association.get(query)[-1][0][0x0900] == 0xA900
    association.release()


def pynetdicom_get(server, ds, got):
    """(final status, counters) of a C-GET by pynetdicom with role selection."""
    ae = AE("PYNETDICOM")
    ae.add_requested_context(StudyRootQueryRetrieveInformationModelGet)
    ae.add_requested_context(CTImageStorage)

    def on_store(event):
        got.append(event.dataset)
        return 0

    association = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title,
                               ext_neg=[build_role(CTImageStorage, scp_role=True)],
                               evt_handlers=[(evt.EVT_C_STORE, on_store)])
    assert association.is_established
    for status, _ in association.send_c_get(of_study(ds), StudyRootQueryRetrieveInformationModelGet):
        final = status
    association.release()
    return final.Status, final.get("NumberOfCompletedSuboperations")


def test_GET_01_pynetdicom_with_role_selection(server, many):
    got = []
    assert pynetdicom_get(server, many[0], got) == (0, 10)
    assert {ds.SOPInstanceUID for ds in got} == {ds.SOPInstanceUID for ds in many}


def getscu(server, study, folder):
    folder.mkdir(exist_ok=True)
    subprocess.run(["getscu", "-S", "+B", "-aec", server.ae_title, "-od", str(folder), "127.0.0.1",
                    str(server.dimse_port), "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study}"],
                   check=True, timeout=60, capture_output=True)
    return [pydicom.dcmread(path) for path in folder.iterdir()]


def test_GET_01_getscu_of_dcmtk(server, many, tmp_path):
    files = getscu(server, many[0].StudyInstanceUID, tmp_path / "got")
    by_uid = {ds.SOPInstanceUID: ds for ds in many}
    assert {ds.SOPInstanceUID for ds in files} == set(by_uid)
    for ds in files:
        assert bytes(ds.PixelData) == bytes(by_uid[ds.SOPInstanceUID].PixelData)


def test_GET_01_foreign_clients_while_the_server_is_busy(server, many, tmp_path):
    with busy(server, make):
        assert len(getscu(server, many[0].StudyInstanceUID, tmp_path / "got")) == 10
        got = []
        assert pynetdicom_get(server, many[0], got) == (0, 10) and len(got) == 10
