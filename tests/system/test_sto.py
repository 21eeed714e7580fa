# SPDX-License-Identifier: MIT
"""C-STORE (PS3.4 annex B)."""
import copy
import io
import random
import re
import struct
import subprocess
import threading
import time
import zlib

import pydicom
import pytest
import requests
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context
from pynetdicom.presentation import AllStoragePresentationContexts

from bounds import join_all
from conftest import BINARY
from upper_layer import (
    BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, JPEG, LAST, STUDY_FIND, STUDY_MOVE, VERIFICATION, Association,
    Receiver, data_pdu, encode, find, is_stored, keys, pdv, store_all, user_information,
)
from web import make, new_uid, part10, url_of

PRIVATE_CLASS = "1.2.826.0.1.3680043.2.1143.1234"
PRIVATE_SYNTAX = "1.2.826.0.1.3680043.2.1143.5678"

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value", "ignore:The value")


def file_of(server, ds):
    """The stored Part 10 file as its stored bytes."""
    answer = requests.get(url_of(server, ds), headers={"Accept": "application/dicom;transfer-syntax=*"}, timeout=30)
    assert answer.status_code == 200, answer.status_code
    return answer.content


def dataset_bytes(part10_file):
    """What stands behind the File Meta Information."""
    assert part10_file[128:132] == b"DICM"
    length = int.from_bytes(part10_file[140:144], "little")
    return part10_file[144 + length:]


def moved(server, ds):
    """The only instance of a study by C-MOVE: (transfer syntax, bytes of the data set)."""
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE,
                            keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                            elements={0x0600: "MOVEDEST1"})
        assert association.answers(1)[-1][0][0x0900] == 0
        association.release()
        assert len(receiver.stored) == 1
        return receiver.stored[0].syntax, receiver.stored[0].content


def study_counts(server, study):
    found, _ = find(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study, NumberOfStudyRelatedInstances="",
                                 NumberOfStudyRelatedSeries=""))
    return [(int(ds.NumberOfStudyRelatedSeries), int(ds.NumberOfStudyRelatedInstances)) for ds in found]


def odd_dataset(**attributes):
    """Private blocks, nesting, unknown VRs, empty values, odd padding: all legal."""
    ds = make(**attributes)
    block = ds.private_block(0x0029, "TEST CREATOR", create=True)
    block.add_new(0x01, "UN", b"\1\2\3\4")
    block.add_new(0x02, "SQ", [keys(PatientComments="inner"), Dataset()])
    ds.ImageComments = "x" * 10000
    ds.InstitutionName = ""
    ds.RequestAttributesSequence = [keys(RequestedProcedureID="R1", ScheduledProcedureStepID="")]
    return ds


def test_STO_01_every_storage_class_is_taken(server):
    classes = [context.abstract_syntax for context in _all_storage_contexts()]
    assert len(classes) > 100
    study = new_uid()
    for start in range(0, len(classes), 100):
        part = classes[start:start + 100]
        association = Association(server, [(2 * i + 1, uid, [EXPLICIT]) for i, uid in enumerate(part)])
        for i, uid in enumerate(part):
            answer = association.store(make(study, SOPClassUID=uid, Rows=4, Columns=4), 2 * i + 1)
            assert answer[0x0900] == 0, uid
        association.release()
    assert study_counts(server, study) == [(len(classes), len(classes))]


def _all_storage_contexts():
    return [context for context in AllStoragePresentationContexts if ".5.1.4.1.1." in context.abstract_syntax]


RETIRED = ["1.2.840.10008.5.1.4.1.1.3", "1.2.840.10008.5.1.4.1.1.6", "1.2.840.10008.5.1.4.1.1.12.3",
           "1.2.840.10008.5.1.1.30"]


def test_STO_01_retired_unknown_and_private_classes_are_taken_unless_switched_off(server, start_server):
    classes = RETIRED[:3] + [PRIVATE_CLASS]
    association = Association(server, [(2 * i + 1, uid, [EXPLICIT]) for i, uid in enumerate(classes)])
    for i, uid in enumerate(classes):
        assert association.store(make(SOPClassUID=uid), 2 * i + 1)[0x0900] == 0
    association.release()
    strict = start_server(settings={"dimse": {"refuseUnknownSopClasses": True}})
    association = Association(strict, [(1, PRIVATE_CLASS, [EXPLICIT]), (3, CT, [EXPLICIT])])
    assert association.accepted.contexts[1][0] == 3
    assert association.store(make())[0x0900] == 0
    association.release()


def encoded(ds, syntax):
    if syntax == DEFLATED:
        deflate = zlib.compressobj(wbits=-15)
        content = deflate.compress(encode(ds)) + deflate.flush()
        return content + b"\0" * (len(content) % 2)
    if syntax in (JPEG, PRIVATE_SYNTAX):
        frame = b"\xff\xd8" + random.Random(1).randbytes(300) + b"\xff\xd9"
        ds = pydicom.dcmread(io.BytesIO(part10(ds)), force=True)
        del ds.file_meta
        ds.PixelData = pydicom.encaps.encapsulate([frame])
        ds["PixelData"].VR = "OB"
        ds["PixelData"].is_undefined_length = True
    return encode(ds, syntax)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, JPEG, PRIVATE_SYNTAX])
def test_STO_01_any_transfer_syntax_is_stored_unchanged(server, syntax):
    ds = make()
    content = encoded(ds, syntax)
    association = Association(server, [(1, CT, [syntax])])
    assert association.store(content, 1, sop_class=CT, sop_instance=ds.SOPInstanceUID)[0x0900] == 0
    association.release()
    assert moved(server, ds) == (syntax, content)
    if syntax not in (IMPLICIT, BIG_ENDIAN):  # DICOMweb does not know these
        stored = file_of(server, ds)
        assert dataset_bytes(stored) == content
        assert pydicom.dcmread(io.BytesIO(stored)).file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_STO_02_every_byte_comes_back_and_the_file_meta_is_ours(server, syntax):
    ds = odd_dataset()
    content = encode(ds, syntax)
    association = Association(server, [(1, CT, [syntax])], calling="SENDER 1")
    assert association.store(content, 1, sop_class=CT, sop_instance=ds.SOPInstanceUID)[0x0900] == 0
    association.release()
    assert moved(server, ds) == (syntax, content)
    if syntax == IMPLICIT:  # DICOMweb does not know it, and would transcode
        return
    stored = file_of(server, ds)
    assert dataset_bytes(stored) == content
    meta = pydicom.dcmread(io.BytesIO(stored)).file_meta
    assert meta.SourceApplicationEntityTitle == "SENDER 1"
    assert meta.ImplementationClassUID.startswith("2.25.")
    assert meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID and meta.MediaStorageSOPClassUID == CT


def test_STO_03_command_and_data_set_must_name_the_same_instance(server):
    ds, other = make(), make(SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    association = Association(server)
    stranger = new_uid()
    assert association.store(encode(ds), sop_class=CT, sop_instance=stranger)[0x0900] == 0xA900
    assert association.store(encode(other), sop_class=CT, sop_instance=other.SOPInstanceUID)[0x0900] == 0xA900
    assert association.store(ds)[0x0900] == 0
    association.release()
    assert not is_stored(server, other)
    ds.SOPInstanceUID = stranger
    assert not is_stored(server, ds)


def test_STO_04_data_sets_that_cannot_be_parsed(server):
    ds = make()
    content = encode(ds)
    overrun = content[:-500]
    broken_item = content + b"\xfe\xff\x00\xe0\x10\0\0\0abc"
    implicit = encode(ds, IMPLICIT)
    garbage = random.Random(2).randbytes(5000)
    association = Association(server)
    for sent in (overrun, broken_item, implicit, garbage, content[:-1], content[:7]):
        answer = association.store(sent, sop_class=CT, sop_instance=ds.SOPInstanceUID)
        assert answer[0x0900] >> 12 == 0xC or answer[0x0900] == 0xA900, hex(answer[0x0900])
        assert len(answer.get(0x0902, "")) <= 64 and "Doe" not in answer.get(0x0902, "")
    assert association.store(overrun, sop_class=CT, sop_instance=ds.SOPInstanceUID)[0x0900] == 0xC000
    assert not is_stored(server, ds)
    assert association.store(ds)[0x0900] == 0
    association.release()


def test_STO_05_no_space_is_told_and_passes(start_server):
    """More is asked to stay free than the disk has."""
    server = start_server(settings={"data": {"minimumFreeMiB": 10**12}})
    association = Association(server)
    for _ in range(2):
        assert association.store(make())[0x0900] >> 8 == 0xA7
    assert association.echo() == 0
    association.release()


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"])
def test_STO_06_missing_or_empty_uids(server, keyword):
    association = Association(server)
    for empty in (True, False):
        ds = make()
        instance = ds.SOPInstanceUID
        setattr(ds, keyword, "") if empty else delattr(ds, keyword)
        answer = association.store(encode(ds), sop_class=CT, sop_instance=instance)
        assert answer[0x0900] == 0xA900
    association.release()


def test_STO_06_missing_patient_id_and_empty_values_are_fine(server):
    ds = make(PatientID="", PatientName="", StudyDate="", AccessionNumber="")
    bare = make()
    for keyword in ("PatientID", "PatientName", "StudyDate", "StudyTime", "AccessionNumber", "Modality"):
        delattr(bare, keyword)
    association = Association(server)
    assert association.store(ds)[0x0900] == 0
    assert association.store(bare)[0x0900] == 0
    association.release()
    assert is_stored(server, ds) and is_stored(server, bare)


def test_STO_07_the_same_instance_again_is_success_and_one_copy(server):
    ds = make()
    latest = requests.get(f"{server.dicomweb}/changefeed/latest", timeout=10)
    store_all(server, [ds, ds])
    store_all(server, [ds])
    assert study_counts(server, ds.StudyInstanceUID) == [(1, 1)]
    feed = requests.get(f"{server.dicomweb}/changefeed", timeout=10,
                        params={"offset": latest.json().get("sequence", 0) if latest.content else 0, "limit": 1000})
    assert sum(entry["sopInstanceUid"] == ds.SOPInstanceUID for entry in feed.json()) == 1


def test_STO_08_the_same_uid_with_other_content_keeps_the_first(server):
    ds = make()
    association = Association(server)
    assert association.store(ds)[0x0900] == 0
    first = file_of(server, ds)
    ds.PixelData = bytes(len(ds.PixelData))
    answer = association.store(ds)
    assert answer[0x0900] == 0x0111
    association.release()
    assert file_of(server, ds) == first
    assert study_counts(server, ds.StudyInstanceUID) == [(1, 1)]


def test_STO_08_other_content_takes_the_place_where_the_policy_is_replace(start_server):
    server = start_server({"store": {"onConflict": "replace"}})
    ds = make(StudyDescription="FIRST")
    sibling = make(study=ds.StudyInstanceUID, series=ds.SeriesInstanceUID, StudyDescription="FIRST")
    store_all(server, [ds, sibling])
    changed = copy.deepcopy(ds)
    changed.StudyDescription = "SECOND"
    changed.PixelData = bytes(reversed(ds.PixelData))
    association = Association(server)
    assert association.store(changed)[0x0900] == 0
    assert association.store(changed)[0x0900] == 0  # now a duplicate
    association.release()
    assert dataset_bytes(file_of(server, ds)) == encode(changed)
    assert moved_files(server, ds)[ds.SOPInstanceUID] == encode(changed)
    assert study_counts(server, ds.StudyInstanceUID) == [(1, 2)]
    found, _ = find(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID, StudyDescription=""))
    assert found[0].StudyDescription == "SECOND"
    metadata = requests.get(f"{url_of(server, ds)}/metadata", timeout=10).json()
    assert metadata[0]["00081030"]["Value"] == ["SECOND"]
    feed = requests.get(f"{server.dicomweb}/changefeed", timeout=10).json()
    assert [(entry["action"], entry["state"]) for entry in feed if entry["sopInstanceUid"] == ds.SOPInstanceUID] == [
        ("create", "replaced"), ("update", "current")]
    assert "replaced instance=" + ds.SOPInstanceUID in server.log()
    fhir = requests.get(f"{server.url}/fhir/ImagingStudy", timeout=10).json()
    assert fhir["entry"][0]["resource"]["description"] == "SECOND"
    # What is another instance after all is a conflict here, too.
    changed.PatientID = "ANOTHER"
    association = Association(server)
    assert association.store(changed)[0x0900] == 0x0111
    association.release()


def test_STO_08_the_old_version_survives_a_restart_and_a_new_index(start_server):
    server = start_server({"store": {"onConflict": "replace", "conflictStatus": "C111"}})
    ds = make(StudyDescription="FIRST")
    store_all(server, [ds])
    ds.StudyDescription = "SECOND"
    store_all(server, [ds])
    other = copy.deepcopy(ds)
    other.SeriesInstanceUID = new_uid()
    association = Association(server)
    assert association.store(other)[0x0900] == 0xC111
    association.release()
    server.stop()
    data = ["--data", str(server.data_dir)]
    verified = subprocess.run([str(BINARY), "verify", *data], capture_output=True, timeout=120)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    stats = subprocess.run([str(BINARY), "stats", *data], capture_output=True, timeout=120)
    assert stats.returncode == 0 and b"Old versions   1, " in stats.stdout, stats.stdout
    rebuilt = subprocess.run([str(BINARY), "rebuild", *data], capture_output=True, timeout=120)
    assert rebuilt.returncode == 0 and b"1 records are older versions" in rebuilt.stdout, rebuilt.stdout + rebuilt.stderr
    server.start()
    assert dataset_bytes(file_of(server, ds)) == encode(ds)
    assert study_counts(server, ds.StudyInstanceUID) == [(1, 1)]


def moved_files(server, ds):
    """The instances of a study by C-MOVE: bytes of the data set by SOP Instance UID."""
    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        association = Association(server, [(1, STUDY_MOVE, [EXPLICIT])])
        association.request(1, 0x21, STUDY_MOVE,
                            keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID),
                            elements={0x0600: "MOVEDEST1"})
        assert association.answers(1)[-1][0][0x0900] == 0
        association.release()
        return {stored.command[0x1000]: stored.content for stored in receiver.stored}


def test_STO_12_a_failed_store_is_drained_and_the_next_message_works(server):
    ds = make(Rows=1024, Columns=512)
    content = encode(ds)
    broken = b"\xff" * 100 + content  # fails at once, a megabyte still to come
    association = Association(server)
    assert association.store(broken, sop_class=CT, sop_instance=ds.SOPInstanceUID)[0x0900] >> 12 == 0xC
    assert association.store(ds)[0x0900] == 0
    association.release()


def test_STO_12_no_success_before_the_last_fragment(server):
    ds = make()
    content = encode(ds)
    association = Association(server)
    association.send_message(3, {0x0002: CT, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1})
    association.send(data_pdu(pdv(3, 0, content)))
    assert association.is_silent(0.3)
    assert not is_stored(server, ds)
    association.send(data_pdu(pdv(3, LAST)))
    assert association.read_message()[1][0x0900] == 0
    association.release()
    assert is_stored(server, ds)


@pytest.mark.parametrize("end", ["abort", "reset", "close", "release"])
def test_STO_13_an_association_broken_within_the_data_set_leaves_nothing(server, end):
    ds = make(Rows=512, Columns=512)
    content = encode(ds)
    association = Association(server)
    association.send_message(3, {0x0002: CT, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: 1, 0x0700: 0, 0x0800: 1})
    association.send(data_pdu(pdv(3, 0, content[:200000])))
    getattr(association, end)()
    assert not is_stored(server, ds)
    store_all(server, [ds])
    assert is_stored(server, ds)


def test_STO_14_sixteen_associations_store_one_study(server):
    study, series = new_uid(), [new_uid() for _ in range(3)]
    datasets = [make(study, series[i % 3], InstanceNumber=i, Rows=8, Columns=8, PatientID="STO14") for i in range(96)]
    statuses, lock = [], threading.Lock()

    def send(part):
        association = Association(server)
        for ds in part:
            status = association.store(ds)[0x0900]
            with lock:
                statuses.append(status)
        association.release()

    shuffled = datasets + datasets[:32]
    random.Random(3).shuffle(shuffled)
    threads = [threading.Thread(target=send, args=(shuffled[i::16],), daemon=True) for i in range(16)]
    for thread in threads:
        thread.start()
    join_all(threads)
    assert statuses == [0] * 128
    assert study_counts(server, study) == [(3, 96)]
    found, _ = find(server, keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=study, SeriesInstanceUID="",
                                 NumberOfSeriesRelatedInstances=""))
    assert sorted(int(ds.NumberOfSeriesRelatedInstances) for ds in found) == [32, 32, 32]


def test_HOS_18_broken_structures_are_refused(server):
    ds = make()
    content = encode(ds)
    at = content.index(b"\x20\x00\x0d\x00UI")
    item = b"\xfe\xff\x00\xe0\0\0\0\0"
    undefined = content[:at] + b"\x20\x00\x01\x00OB\0\0\xff\xff\xff\xff" + content[at:]
    wild_item = content[:at] + item + content[at:]
    open_sequence = content + b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff" + item
    association = Association(server)
    for sent in (undefined, wild_item, open_sequence):
        answer = association.store(sent, sop_class=CT, sop_instance=ds.SOPInstanceUID)
        assert answer[0x0900] == 0xC000, hex(answer[0x0900])
    association.release()
    assert not is_stored(server, ds)


def test_HOS_19_a_hundred_thousand_nested_sequences_are_refused(server):
    ds = make()
    bomb = encode(ds) + (b"\xe1\x7f\x01\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff") * 100000
    association = Association(server)
    answer = association.store(bomb, sop_class=CT, sop_instance=ds.SOPInstanceUID)
    assert answer[0x0900] == 0xC000
    assert association.echo() == 0
    association.release()
    assert not is_stored(server, ds)


def test_STO_01_dcmtk_and_pynetdicom_store_as_they_do_by_default(server, tmp_path):
    datasets = [make(Rows=512, Columns=512, InstanceNumber=i) for i in range(3)]
    for i, ds in enumerate(datasets):
        (tmp_path / f"{i}.dcm").write_bytes(part10(ds))
    files = sorted(str(path) for path in tmp_path.iterdir())
    for tool in ("storescu", "dcmsend"):
        subprocess.run([tool, "-aec", server.ae_title, "127.0.0.1", str(server.dimse_port), *files], check=True,
                       timeout=30)
    ae = AE(ae_title="PYNETDICOM")
    ae.requested_contexts = [build_context(CT, [IMPLICIT, EXPLICIT])]
    association = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title)
    assert association.is_established
    assert association.accepted_contexts[0].transfer_syntax == [EXPLICIT]
    ds = pydicom.dcmread(io.BytesIO(part10(make(Rows=512, Columns=512))))
    assert association.send_c_store(ds).Status == 0
    association.release()
    assert is_stored(server, ds) and all(is_stored(server, one) for one in datasets)


def test_STO_12_an_ordinary_peer_sees_no_stalls(server, tmp_path):
    """Nagle's algorithm at the peer and delayed acknowledgements here would cost 20 to 40 ms an instance."""
    count = 100
    for i in range(count):
        (tmp_path / f"{i}.dcm").write_bytes(part10(make(Rows=256, Columns=256, InstanceNumber=i)))
    ours = [make(Rows=256, Columns=256, InstanceNumber=i) for i in range(count)]
    began = time.monotonic()
    store_all(server, ours)  # without Nagle's algorithm
    reference = time.monotonic() - began
    for _ in range(3):  # whoever else uses the machine does not do it each time
        began = time.monotonic()
        subprocess.run(["storescu", "-aec", server.ae_title, "127.0.0.1", str(server.dimse_port),
                        *[str(path) for path in tmp_path.iterdir()]], check=True, timeout=60)
        if time.monotonic() - began < reference + count * 0.015:
            return
    raise AssertionError("stores of a peer with Nagle's algorithm stall")


def test_STO_09_the_same_instance_elsewhere_is_a_conflict_and_the_first_stays(server):
    ds = make()
    store_all(server, [ds])
    for keyword, value in (("StudyInstanceUID", new_uid()), ("SeriesInstanceUID", new_uid()), ("PatientID", "ANOTHER")):
        other = copy.deepcopy(ds)
        setattr(other, keyword, value)
        association = Association(server)
        assert association.store(other)[0x0900] == 0x0111, keyword
        association.release()
        found = find(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=ds.StudyInstanceUID, PatientID=""))[0][0]
        assert found.PatientID == ds.PatientID
        if keyword == "StudyInstanceUID":
            assert not find(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=value))[0]
    assert is_stored(server, ds)


def test_STO_10_nothing_is_coerced_so_nothing_is_called_coerced(server):
    """The one way to be right without coercion: bytes as they came, 0000, no Original Attributes of ours."""
    ds = make(PatientID="  spaces ", PatientName="lower^case")
    store_all(server, [ds])
    url = f"{server.dicomweb}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    got = requests.get(url, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}, timeout=60)
    assert encode(ds) in got.content


RULES = [
    {"attribute": "PatientID", "prefix": "H1-", "callingAe": ["CT1"]},
    {"attribute": "IssuerOfPatientID", "set": "HOSPITAL1", "ifEmpty": True, "callingAe": ["CT1"]},
    {"attribute": "SpecificCharacterSet", "set": "ISO_IR 100", "ifEmpty": True, "callingAe": ["OLDUS"]},
    {"attribute": "InstitutionName", "set": "EAST"},
]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_STO_10_attributes_are_coerced_by_rule_and_the_sender_hears_which(start_server, syntax):
    server = start_server({"store": {"coerce": RULES}})
    ds = make(PatientID="42", InstitutionName="west wing ", PatientName="A^B", PixelData=bytes(range(256)) * 2)
    content = encode(ds, syntax)
    for _ in range(2):  # sent again it is the same
        association = Association(server, [(1, CT, [syntax])], calling="CT1")
        answer = association.store(content, 1, sop_class=CT, sop_instance=ds.SOPInstanceUID)
        association.release()
        assert answer[0x0900] == 0xB000
        assert answer[0x0901] == [0x00080080, 0x00100020, 0x00100021]
    stored = pydicom.dcmread(io.BytesIO(file_of(server, ds)))
    assert (stored.PatientID, stored.IssuerOfPatientID, stored.InstitutionName) == ("H1-42", "HOSPITAL1", "EAST")
    (item,) = stored.OriginalAttributesSequence
    assert item.ReasonForTheAttributeModification == "COERCE"
    assert item.ModifyingSystem == "HOUNSFIELD" and item.SourceOfPreviousValues == "CT1"
    assert re.fullmatch(r"\d{14}\.\d{6}\+0000", item.AttributeModificationDateTime)
    (modified,) = item.ModifiedAttributesSequence
    assert (modified.PatientID, modified.InstitutionName, modified.IssuerOfPatientID) == ("42", "west wing", "")
    assert len(list(modified)) == 3
    # all else is as it was
    del stored.OriginalAttributesSequence, stored.IssuerOfPatientID
    stored.PatientID, stored.InstitutionName = "42", "west wing "
    if syntax == BIG_ENDIAN:  # WADO-RS gives it in little endian
        stored.PixelData = bytes(byte for pair in zip(stored.PixelData[1::2], stored.PixelData[::2]) for byte in pair)
    assert encode(stored, syntax) == content
    found, _ = find(server, keys(QueryRetrieveLevel="STUDY", PatientID="H1-42", StudyInstanceUID=""))
    assert [one.StudyInstanceUID for one in found] == [ds.StudyInstanceUID]
    assert not find(server, keys(QueryRetrieveLevel="STUDY", PatientID="42", StudyInstanceUID=""))[0]
    # what has the values already is not touched
    again = pydicom.dcmread(io.BytesIO(file_of(server, ds)))
    again.SOPInstanceUID = new_uid()
    association = Association(server, [(1, CT, [syntax])], calling="CT1")
    assert association.store(encode(again, syntax), 1, sop_class=CT, sop_instance=again.SOPInstanceUID)[0x0900] == 0
    association.release()


def test_STO_10_a_character_set_is_repaired_and_earlier_changes_stay(start_server):
    server = start_server({"store": {"coerce": RULES}})
    for defined in (True, False):
        ds = make(InstitutionName="EAST", PatientName="MULLER^X")
        earlier = keys(ModifiedAttributesSequence=[keys(PatientID="0")], AttributeModificationDateTime="20200101",
                       ModifyingSystem="OTHER", SourceOfPreviousValues="", ReasonForTheAttributeModification="CORRECT")
        ds.OriginalAttributesSequence = [earlier]
        ds["OriginalAttributesSequence"].is_undefined_length = not defined
        content = encode(ds).replace(b"MULLER^X", b"M\xfcLLER^X", 1)
        association = Association(server, [(1, ds.SOPClassUID, [EXPLICIT])], calling="OLDUS")
        answer = association.store(content, 1, sop_class=ds.SOPClassUID, sop_instance=ds.SOPInstanceUID)
        association.release()
        assert answer[0x0900] == 0xB000 and answer[0x0901] == [0x00080005]
        stored = pydicom.dcmread(io.BytesIO(file_of(server, ds)))
        assert stored.SpecificCharacterSet == "ISO_IR 100"
        assert stored.PatientName == "M\xfcLLER^X"
        first, second = stored.OriginalAttributesSequence
        assert first == earlier and second.ReasonForTheAttributeModification == "CORRECT"
        assert not second.ModifiedAttributesSequence[0].SpecificCharacterSet


def test_STO_10_large_instances_are_coerced_too_and_what_cannot_be_is_refused(start_server):
    server = start_server({"store": {"coerce": RULES}})
    ds = make(Rows=4500, Columns=4500, InstitutionName="west")  # 40 MB: more than stands in memory
    association = Association(server, [(1, CT, [EXPLICIT]), (3, CT, [DEFLATED])], calling="ANY")
    assert association.store(ds, 1)[0x0900] == 0xB000
    stored = pydicom.dcmread(io.BytesIO(file_of(server, ds)))
    assert stored.InstitutionName == "EAST" and stored.PixelData == ds.PixelData
    small = make(InstitutionName="west")
    assert association.store(small, 3)[0x0900] == 0xC000
    association.release()
    assert not is_stored(server, small)


def test_STO_15_where_attributes_may_be_coerced_it_is_declared(start_server):
    server = start_server({"store": {"coerce": RULES[:2]}})
    offered = struct.pack(">BxHH", 0x56, 2 + len(CT) + 6, len(CT)) + CT.encode() + bytes(6)
    for calling, expected in (("CT1", [2, 0, 1, 0, 1, 0]), ("CT2", [2, 0, 3, 0, 0, 0])):
        association = Association(server, [(1, CT, [EXPLICIT])], calling=calling,
                                  user=user_information(extra=offered))
        (answer,) = association.accepted.sub_items(0x56)
        assert list(answer[2 + len(CT):]) == expected
        association.release()


@pytest.mark.parametrize("tag, vr, value", [
    ((0x0028, 0x0010), b"US", b"\x10\0\x10"),  # three bytes
    ((0x0008, 0x0060), b"CS", b"ct lower"),
    ((0x0018, 0x0050), b"DS", b"not a number"),
    ((0x0020, 0x0013), b"IS", b"1\\2\\3 "),
    ((0x0008, 0x0020), b"DA", b"2026-13-45"),
    ((0x0010, 0x0040), b"CS", b"\xff\xfe"),
])
def test_STO_11_wrong_but_harmless_values_are_stored_as_they_are(server, tag, vr, value):
    ds = make()
    group, number = tag
    if tag in ds:
        del ds[tag]
    content = encode(ds)
    broken = struct.pack("<HH2sH", group, number, vr, len(value)) + value
    at = 0
    while at < len(content):  # in its place, ascending
        g, n = struct.unpack_from("<HH", content, at)
        if (g, n) > tag:
            break
        kind = content[at + 4:at + 6]
        if kind in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF"):
            at += 12 + struct.unpack_from("<I", content, at + 8)[0]
        else:
            at += 8 + struct.unpack_from("<H", content, at + 6)[0]
    content = content[:at] + broken + content[at:]
    association = Association(server)
    assert association.store(content, 3, sop_class=ds.SOPClassUID, sop_instance=ds.SOPInstanceUID)[0x0900] == 0
    association.release()
    url = f"{server.dicomweb}/studies/{ds.StudyInstanceUID}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"
    got = requests.get(url, headers={"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}, timeout=60)
    assert content in got.content
    assert requests.get(url + "/metadata", timeout=60).status_code == 200


def test_STO_16_the_move_originator_is_recorded(start_server):
    server = start_server()
    ds = make()
    association = Association(server)
    association.send_message(3, {0x0002: ds.SOPClassUID, 0x1000: ds.SOPInstanceUID, 0x0100: 1, 0x0110: 1, 0x0700: 0,
                                 0x0800: 1, 0x1030: "MOVER", 0x1031: 77}, encode(ds))
    assert association.read_message()[1][0x0900] == 0
    association.release()
    assert f'stored instance={ds.SOPInstanceUID} calling_ae="TEST" originator="MOVER/77"' in server.log()


def test_STO_14_two_hundred_associations_at_once_with_every_service(start_server):
    from test_scm import COMMITMENT, action, ask, hear
    server = start_server(settings={"dimse": {"associationLimit": 256, "associationLimitPerPeer": 256,
                                              "commitmentWaitSeconds": 0}})
    study, series = new_uid(), [new_uid() for _ in range(4)]
    first = [make(study=study, series=one, PatientID="MIXED") for one in series]
    store_all(server, first)
    contexts = [(1, VERIFICATION, [IMPLICIT]), (3, CT, [EXPLICIT]), (5, STUDY_FIND, [EXPLICIT]),
                (7, STUDY_MOVE, [EXPLICIT]), (9, COMMITMENT, [EXPLICIT])]
    held = [Association(server, contexts) for _ in range(200)]
    stored, lock, failures = [], threading.Lock(), []

    def work(at):
        association = held[at]
        try:
            association.sock.settimeout(120)
            for _ in range(2):
                if at % 5 == 0:
                    assert association.echo(1) == 0
                elif at % 5 == 1:
                    ds = make(study=study, series=series[at % 4], PatientID="MIXED")
                    assert association.store(ds, 3)[0x0900] == 0
                    with lock:
                        stored.append(ds.SOPInstanceUID)
                elif at % 5 == 2:
                    association.request(5, 0x20, STUDY_FIND,
                                        keys(QueryRetrieveLevel="SERIES", StudyInstanceUID=study, SeriesInstanceUID=""))
                    answers = association.answers(5)
                    assert len(answers) == 5 and answers[-1][0][0x0900] == 0
                elif at % 5 == 3:
                    association.request(7, 0x21, STUDY_MOVE,
                                        keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=study,
                                             SeriesInstanceUID=first[0].SeriesInstanceUID,
                                             SOPInstanceUID=first[0].SOPInstanceUID), elements={0x0600: "MOVEDEST1"})
                    assert association.answers(7)[-1][0][0x0900] == 0
                else:
                    assert ask(association, action(new_uid(), [(ds.SOPClassUID, ds.SOPInstanceUID) for ds in first]),
                               number=9) == 0
                    assert hear(association).kind == 1
            association.release()
        except BaseException as failure:  # pylint: disable=broad-except
            failures.append((at % 5, failure))

    with Receiver(server.destination_ports["MOVEDEST1"]) as receiver:
        threads = [threading.Thread(target=work, args=(at,), daemon=True) for at in range(200)]
        for thread in threads:
            thread.start()
        join_all(threads)
        assert not failures, failures[:5]
        assert len(receiver.stored) == 80
    answer = find(server, keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=study,
                               NumberOfStudyRelatedInstances=""))[0][0]
    assert int(answer.NumberOfStudyRelatedInstances) == 4 + len(stored) == 84


def test_STO_17_a_sop_class_that_is_switched_off_is_not_negotiated(start_server):
    mr = "1.2.840.10008.5.1.4.1.1.4"
    server = start_server(settings={"dimse": {"refusedSopClasses": [mr, STUDY_MOVE]}})
    association = Association(server, [(1, mr, [EXPLICIT]), (3, CT, [EXPLICIT]), (5, STUDY_MOVE, [EXPLICIT])])
    assert [association.accepted.contexts[number][0] for number in (1, 3, 5)] == [3, 0, 3]
    ds = make()
    ds.SOPClassUID = mr
    # over another context
    assert association.store(ds, 3)[0x0900] == 0x0122
    assert association.store(make(), 3)[0x0900] == 0
    association.release()
    assert not is_stored(server, ds)
