# SPDX-License-Identifier: MIT
"""STOW-RS, CONFORMANCE STOW-01 to STOW-16 as far as they are [M] or cheap, and HOS-36, HOS-37 (PS3.18 10.5)."""
import concurrent.futures
import io
import socket
import struct
import time
from xml.etree import ElementTree

import pydicom
import pytest
import requests
from pydicom.uid import JPEGBaseline8Bit

from web import CT, JSON, MULTIPART_DICOM, get, make, multipart, new_uid, part10, parts_of, store, url_of, value

ANY = MULTIPART_DICOM + "; transfer-syntax=*"
STORED, FAILED, OTHER = "00081199", "00081198", "0008119A"


def post(server, body, content_type, study=None, headers=None, timeout=120):
    url = server.dicomweb + "/studies" + (f"/{study}" if study else "")
    fields = {**JSON, **(headers or {})}
    if content_type is not None:
        fields["Content-Type"] = content_type
    return requests.post(url, data=body, headers=fields, timeout=timeout)


def items(answer, tag):
    return answer.json().get(tag, {}).get("Value", [])


def reasons(answer, tag=FAILED):
    return [value(item, "00081197") for item in items(answer, tag)]


def stored_bytes(server, ds):
    return parts_of(get(url_of(server, ds), ANY))[0][1]


def is_absent(server, ds):
    return requests.get(url_of(server, ds), headers={"Accept": ANY}, timeout=60).status_code in (404, 410)


def change_count(server):
    answer = requests.get(server.dicomweb + "/changefeed/latest", params={"includeMetadata": "false"}, timeout=60)
    return answer.json()["sequence"] if answer.status_code == 200 else 0


def test_STOW_01_all_parts_are_stored_and_listed(server):
    study = new_uid()
    datasets = [make(study=study) for _ in range(5)]
    body, content_type = multipart([part10(d) for d in datasets])
    answer = post(server, body, content_type)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/dicom+json")
    module = answer.json()
    assert value(module, "00081190") == f"{server.dicomweb}/studies/{study}"
    assert FAILED not in module and OTHER not in module
    assert {
        (value(i, "00081150"), value(i, "00081155"), value(i, "00081190")) for i in module[STORED]["Value"]
    } == {(CT, d.SOPInstanceUID, url_of(server, d)) for d in datasets}
    for ds in datasets:
        found = pydicom.dcmread(io.BytesIO(stored_bytes(server, ds)))
        assert found.PixelData == ds.PixelData
        # RetrieveURL works as it is.
        get(url_of(server, ds), ANY)


def test_STOW_01_instances_of_several_studies_have_no_common_url(server):
    body, content_type = multipart([part10(make()), part10(make())])
    answer = post(server, body, content_type)
    assert answer.status_code == 200
    assert "Value" not in answer.json()["00081190"]
    assert len(items(answer, STORED)) == 2


def test_STOW_02_a_part_of_another_study_is_not_stored(server):
    mine, other = make(), make()
    body, content_type = multipart([part10(mine), part10(other)])
    answer = post(server, body, content_type, study=mine.StudyInstanceUID)
    assert answer.status_code == 202
    assert [value(i, "00081155") for i in items(answer, STORED)] == [mine.SOPInstanceUID]
    assert [value(i, "00081155") for i in items(answer, FAILED)] == [other.SOPInstanceUID]
    assert reasons(answer) == [0xA900]
    assert is_absent(server, other)
    assert not is_absent(server, mine)


def test_STOW_02_a_study_that_was_never_seen_is_created(server):
    ds = make()
    store(server, ds, study=ds.StudyInstanceUID)
    get(url_of(server, ds, "study") + "/metadata")


@pytest.mark.parametrize("accept", ["application/dicom+json", "application/json", "*/*", None, "application/dicom+xml"])
def test_STOW_03_the_answer_is_json_or_xml_as_accepted(server, accept):
    ds = make()
    body, content_type = multipart([part10(ds)])
    answer = post(server, body, content_type, headers={"Accept": accept})
    assert answer.status_code == 200
    wanted = accept if accept and "*" not in accept else "application/dicom+json"
    assert answer.headers["Content-Type"].startswith(wanted)
    assert ds.SOPInstanceUID in answer.text


def test_STOW_03_an_answer_that_cannot_be_given_is_406_and_nothing_is_stored(server):
    ds = make()
    body, content_type = multipart([part10(ds)])
    answer = post(server, body, content_type, headers={"Accept": "image/jpeg"})
    assert answer.status_code == 406
    assert "application/dicom+json" in answer.text
    assert is_absent(server, ds)


def test_STOW_04_one_instance_by_itself_is_taken(server):
    ds = make()
    answer = post(server, part10(ds), "application/dicom")
    assert answer.status_code == 200
    assert value(items(answer, STORED)[0], "00081155") == ds.SOPInstanceUID
    assert not is_absent(server, ds)


@pytest.mark.parametrize(
    "content_type,status",
    [
        (None, 415),
        ("", 415),
        ("text/plain", 415),
        ("application/json", 415),
        ("multipart/form-data; boundary=b", 415),
        ("multipart/related; boundary=b", 415),
        ('multipart/related; type="text/plain"; boundary=b', 415),
        ('multipart/related; type="application/dicom"', 400),
        ('multipart/related; type="application/dicom"; boundary=', 400),
        ('multipart/related; type="application/dicom"; boundary=""', 400),
        ('multipart/related; type="application/dicom"; boundary="a;b"', 400),
        ('multipart/related; type="application/dicom"; boundary=' + "b" * 71, 400),
    ],
)
def test_STOW_04_payloads_of_another_type_are_415_and_bad_boundaries_400(server, content_type, status):
    body = b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part10(make()) + b"\r\n--b--\r\n"
    answer = post(server, body, content_type)
    assert answer.status_code == status, answer.text


def test_STOW_04_a_content_coding_is_415(server):
    body, content_type = multipart([part10(make())])
    assert post(server, body, content_type, headers={"Content-Encoding": "gzip"}).status_code == 415


def test_STOW_05_mixed_result_is_202(server):
    good, bad = make(), make()
    store(server, bad)
    changed = pydicom.dcmread(io.BytesIO(part10(bad)))
    changed.PatientName = "Other"
    body, content_type = multipart([part10(good), part10(changed), b"this is no DICOM"])
    answer = post(server, body, content_type)
    assert answer.status_code == 202
    assert len(items(answer, STORED)) == 1 and reasons(answer) == [0x0111]
    assert reasons(answer, OTHER) == [0xC000]


def test_STOW_05_nothing_stored_for_conflict_is_409(server):
    ds = make()
    store(server, ds)
    ds.PatientName = "Other"
    answer = post(server, *multipart([part10(ds)]))
    assert answer.status_code == 409
    assert reasons(answer) == [0x0111]
    assert STORED not in answer.json()


def test_STOW_05_mixed_causes_are_409(server):
    other = make()
    answer = post(server, *multipart([part10(other), b"nonsense"]), study=new_uid())
    assert answer.status_code == 409
    assert reasons(answer) == [0xA900] and reasons(answer, OTHER) == [0xC000]


def test_STOW_06_what_cannot_be_parsed_behind_its_meta_is_C000(server):
    ds = make()
    file = bytearray(part10(ds))
    at = file.index(struct.pack("<HH", 0x7FE0, 0x0010))
    file[at + 8 : at + 12] = struct.pack("<I", 1 << 20)  # longer than what follows
    answer = post(server, *multipart([bytes(file)]))
    assert answer.status_code == 409
    assert reasons(answer) == [0xC000]
    assert value(items(answer, FAILED)[0], "00081155") == ds.SOPInstanceUID
    assert is_absent(server, ds)


def test_STOW_06_a_missing_study_uid_is_A900(server):
    ds = make()
    del ds.StudyInstanceUID
    answer = post(server, *multipart([part10(ds)]))
    assert answer.status_code == 409
    assert reasons(answer) == [0xA900]


def test_STOW_07_parts_that_are_not_dicom_are_other_failures(server):
    good = make()
    answer = post(server, *multipart([b"no DICOM at all", part10(good), b""]))
    assert answer.status_code == 202
    assert reasons(answer, OTHER) == [0xC000, 0xC000]
    assert [value(i, "00081155") for i in items(answer, STORED)] == [good.SOPInstanceUID]
    answer = post(server, *multipart([b"x", b"y" * 1000]))
    assert answer.status_code == 400
    assert reasons(answer, OTHER) == [0xC000, 0xC000]


@pytest.mark.parametrize("accept", ["application/dicom+json", "application/dicom+xml"])
def test_STOW_08_what_was_coerced_is_202_with_a_warning_and_the_old_values(start_server, accept):
    server = start_server({"store": {"coerce": [{"attribute": "InstitutionName", "set": "EAST"},
                                                {"attribute": "PatientID", "prefix": "X", "callingAe": ["CT1"]}]}})
    ds, other = make(InstitutionName="W\u00e9st", SpecificCharacterSet="ISO_IR 192"), make(InstitutionName="EAST")
    body, content_type = multipart([part10(ds), part10(other)])
    answer = requests.post(f"{server.dicomweb}/studies", data=body, timeout=30,
                           headers={"Content-Type": content_type, "Accept": accept})
    assert answer.status_code == 202 and answer.headers["Warning"].startswith("299 ")
    if accept.endswith("xml"):
        items = ElementTree.fromstring(answer.text).findall(".//{*}DicomAttribute[@keyword='ReferencedSOPSequence']/{*}Item")
        warned = [item for item in items if item.find("{*}DicomAttribute[@tag='00081196']") is not None]
        assert len(items) == 2 and len(warned) == 1
        assert warned[0].find("{*}DicomAttribute[@tag='00081196']/{*}Value").text == str(0xB000)
        originals = warned[0].find("{*}DicomAttribute[@tag='04000561']/{*}Item")
        assert originals.find(".//{*}DicomAttribute[@tag='00080080']/{*}Value").text == "W\u00e9st"
    else:
        by_uid = {item["00081155"]["Value"][0]: item for item in answer.json()["00081199"]["Value"]}
        assert "00081196" not in by_uid[other.SOPInstanceUID]
        item = by_uid[ds.SOPInstanceUID]
        assert item["00081196"]["Value"] == [0xB000]
        (original,) = item["04000561"]["Value"]
        assert original["04000565"]["Value"] == ["COERCE"]
        assert original["04000550"]["Value"][0]["00080080"]["Value"] == ["W\u00e9st"]
    metadata = requests.get(f"{url_of(server, ds)}/metadata", timeout=10).json()[0]
    assert metadata["00080080"]["Value"] == ["EAST"] and metadata["00100020"]["Value"] == [ds.PatientID]


def test_STOW_09_other_bytes_are_stored_where_the_policy_is_replace(start_server):
    server = start_server({"store": {"onConflict": "replace"}})
    ds = make(StudyDescription="FIRST")
    store(server, ds)
    ds.StudyDescription = "SECOND"
    store(server, ds)
    assert requests.get(f"{url_of(server, ds)}/metadata", timeout=10).json()[0]["00081030"]["Value"] == ["SECOND"]


def test_STOW_09_the_same_bytes_again_are_stored_once(server):
    ds = make()
    store(server, ds)
    before = change_count(server)
    module = store(server, ds)
    assert value(module[STORED]["Value"][0], "00081155") == ds.SOPInstanceUID
    module = store(server, ds, ds, ds)
    assert len(module[STORED]["Value"]) == 3
    assert change_count(server) == before


def test_STOW_09_posted_concurrently_there_is_one_copy(server):
    study, series = new_uid(), new_uid()
    datasets = [make(study=study, series=series, InstanceNumber=n) for n in range(10)]
    files = [part10(d) for d in datasets]
    before = change_count(server)

    def send(shift):
        body, content_type = multipart(files[shift:] + files[:shift])
        return post(server, body, content_type).status_code

    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        assert set(pool.map(send, range(0, 10, 2))) == {200}
    assert change_count(server) == before + 10
    assert len(get(url_of(server, datasets[0], "series") + "/metadata").json()) == 10


def test_STOW_11_lenient_forms_are_accepted(server):
    a, b, c = make(), make(), make()
    body = (
        b"A preamble\r\nof two lines\r\n"
        + b"--X.Y \t\r\nX-Extra: yes\nContent-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2\n\n"
        + part10(a)
        + b"\r\n--X.Y\r\ncontent-TYPE:Application/DICOM\r\nContent-Location: http://elsewhere/1\r\n"
        + b"Content-Length: 7\r\n\r\n"
        + part10(b)
        + b"\r\n--X.Y\r\nContent-Type: application/dicom\r\nMIME-Version: 1.0\r\n\r\n"
        + part10(c)
        + b"\r\n--X.Y--\r\nAn epilogue\r\n--X.Y\r\nthat is ignored"
    )
    answer = post(server, body, 'Multipart/Related; start=a; boundary="X.Y"; Type=application/dicom')
    assert answer.status_code == 200, answer.text
    for ds in (a, b, c):
        assert stored_bytes(server, ds)[132:] and not is_absent(server, ds)
    # The transfer syntax of the File Meta Information wins over the parameter.
    assert pydicom.dcmread(io.BytesIO(stored_bytes(server, a))).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


def test_STOW_11_compressed_syntaxes_are_stored_as_they_come(server):
    ds = make(Modality="US", SamplesPerPixel=1, BitsAllocated=8, BitsStored=8, HighBit=7)
    frame = b"\xff\xd8\xff\xe0" + bytes(range(200)) + b"\xff\xd9"
    ds.PixelData = pydicom.encaps.encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    file = part10(ds, JPEGBaseline8Bit)
    store(server, file)
    assert stored_bytes(server, ds)[-len(frame) - 20 :] == file[-len(frame) - 20 :]


BOUNDARY_TRAPS = [
    b"\r\n--xBOUNDARYxx\r\n",
    b"\r\n--xBOUNDARYx-\r\n",
    b"--xBOUNDARYx\r\n",
    b"\n--xBOUNDARYx\r\n",
    b"\r\n--xBOUNDARYx--z",
    b"\r\n--xBOUNDARY\r\n",
    b"\r\n-xBOUNDARYx--\r\n",
    b"\r" * 64,
    b"\r\n" * 32,
    b"\r\n--xBOUNDARYx" + b" " * 10 + b"z\r\n",
]


@pytest.mark.parametrize("trap", range(len(BOUNDARY_TRAPS)))
def test_HOS_37_a_boundary_inside_pixel_data_is_data(server, trap):
    ds = make()
    text = b"ab" + BOUNDARY_TRAPS[trap]
    ds.PixelData = (text * 256)[:511] + b"\r"
    body, content_type = multipart([part10(ds)])
    length = len(body)
    # Cut over TCP segments at odd places.
    with socket.create_connection(("127.0.0.1", server.http_port), 30) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(
            f"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: application/dicom+json\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        for at in range(0, length, 97):
            s.sendall(body[at : at + 97])
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert pydicom.dcmread(io.BytesIO(stored_bytes(server, ds))).PixelData == ds.PixelData


@pytest.mark.parametrize("make_body", [
    lambda file: b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file,
    lambda file: b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n--b",
    lambda file: b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n--b\r\nContent-Ty",
    lambda file: b"--c\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n--c--\r\n",
    lambda file: file,
    lambda file: b"--b\r\n\r\n" + file + b"\r\n--b--\r\n",
    lambda file: b"--b\r\n" + file + b"\r\n--b--\r\n",
    lambda file: b"--b\r\nContent-Type: text/plain\r\n\r\n" + file + b"\r\n--b--\r\n",
    lambda file: b"--b--\r\n",
    lambda file: b"",
])
def test_HOS_36_malformed_multipart_is_400_and_nothing_incomplete_is_stored(server, make_body):
    ds = make()
    answer = post(server, make_body(part10(ds)), 'multipart/related; type="application/dicom"; boundary=b')
    assert answer.status_code == 400, answer.text
    complete = b"application/dicom\r\n\r\nF\r\n--b\r\n" in make_body(b"F")
    assert is_absent(server, ds) == (not complete)


def test_STOW_16_complete_parts_before_a_fault_stay_and_are_listed(server):
    complete, cut = make(), make()
    body, content_type = multipart([part10(complete), part10(cut)])
    answer = post(server, body[:-700], content_type)
    assert answer.status_code == 400
    assert [value(i, "00081155") for i in items(answer, STORED)] == [complete.SOPInstanceUID]
    assert not is_absent(server, complete)
    assert is_absent(server, cut)


def test_STOW_16_a_client_that_hangs_up_leaves_the_complete_parts(server):
    complete, cut = make(), make()
    body, content_type = multipart([part10(complete), part10(cut)])
    with socket.create_connection(("127.0.0.1", server.http_port), 30) as s:
        s.sendall(
            f"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body[:-700]
        )
        time.sleep(0.2)
    deadline = time.monotonic() + 10
    while is_absent(server, complete) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_absent(server, complete)
    assert is_absent(server, cut)


def test_HOS_36_part_headers_without_end_are_413(server):
    body = b"--b\r\nContent-Type: application/dicom\r\nX: " + b"x" * (4 << 20) + b"\r\n\r\n" + b"--b--\r\n"
    answer = post(server, body, 'multipart/related; type="application/dicom"; boundary=b')
    assert answer.status_code == 413


def test_HOS_38_a_million_empty_parts_are_413(server):
    answer = post(server, b"--b\r\n\r\n\r\n" * 1_000_000 + b"--b--\r\n", MULTIPART_DICOM + "; boundary=b")
    assert answer.status_code == 413
    assert STORED not in answer.json()


def test_STOW_05_no_space_is_503_with_A700_and_passes(start_server):
    server = start_server({"data": {"minimumFreeMiB": 10**9}})
    ds = make()
    answer = post(server, *multipart([part10(ds), part10(make())]))
    assert answer.status_code == 503
    assert reasons(answer, FAILED) + reasons(answer, OTHER) == [0xA700] * 2
    assert is_absent(server, ds)


def nested(levels):
    """A data set with one private sequence in another, all of undefined length."""
    head = struct.pack("<HH2sHI", 0x0009, 0x1001, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    tail = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return head * levels + tail * levels


def test_a_bomb_of_nested_sequences_is_refused_and_costs_nothing(server):
    ds = make()
    file = part10(ds)
    at = file.index(struct.pack("<HH", 0x0010, 0x0010), 200)
    answer = post(server, *multipart([file[:at] + nested(100_000) + file[at:]]))
    assert answer.status_code == 409, answer.text
    assert reasons(answer) == [0xC000]
    assert is_absent(server, ds)
    store(server, make())


@pytest.mark.parametrize("uid", ["../../../etc/passwd", "1.2.3/../4", "1..2", "", "1.2.3\0junk.4", "1.2.3x"])
def test_a_uid_that_is_none_is_refused(server, uid):
    ds = make(StudyInstanceUID="2.25.11111111111111111")
    file = part10(ds).replace(b"2.25.11111111111111111", uid.encode().ljust(22, b"\0"))
    answer = post(server, *multipart([file]))
    assert answer.status_code in (400, 409), answer.text
    assert STORED not in answer.json()


def test_a_truncated_data_set_is_refused(server):
    ds = make()
    file = part10(ds)
    for size in (100, 140, 300, len(file) // 2, len(file) - 1):
        answer = post(server, *multipart([file[:size]]))
        assert answer.status_code in (400, 409), (size, answer.text)
    assert is_absent(server, ds)


def test_STOW_10_one_byte_at_a_time_gives_the_same_result(server):
    ds = make()
    body, content_type = multipart([part10(ds)])
    answer = post(server, (body[i : i + 1] for i in range(len(body))), content_type)
    assert answer.status_code == 200
    assert pydicom.dcmread(io.BytesIO(stored_bytes(server, ds))).PixelData == ds.PixelData


@pytest.mark.slow
def test_STOW_10_memory_is_flat_for_a_large_instance_and_for_many(start_server):
    server = start_server()

    def resident():
        with open(f"/proc/{server.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024

    store(server, make())
    size = 1 << 30
    ds = make(Rows=1, Columns=1, PixelData=b"\0\0")
    file = part10(ds)
    at = file.index(struct.pack("<HH", 0x7FE0, 0x0010))
    head = file[: at + 8] + struct.pack("<I", size)

    def body():
        yield b"--b\r\nContent-Type: application/dicom\r\n\r\n" + head
        for _ in range(size >> 20):
            yield b"\0" * (1 << 20)
        yield b"\r\n--b--\r\n"

    answer = post(server, body(), 'multipart/related; type="application/dicom"; boundary=b', timeout=600)
    assert answer.status_code == 200, answer.text
    assert resident() < 512, "memory grows with the instance"


def test_no_patient_data_stands_in_the_log(server):
    ds = make(PatientName="Secretname^Very", PatientID="SECRETID77")
    store(server, ds)
    ds.PatientName = "Secretname^Other"
    store(server, ds, expected=409)
    requests.get(server.dicomweb + "/studies", params={"PatientName": "Secretname*"}, timeout=60)
    text = server.log()
    assert "Secretname" not in text and "SECRETID77" not in text
