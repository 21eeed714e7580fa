# SPDX-License-Identifier: MIT
"""What hostile peers of the HTTP side once got away with, by the item of CONFORMANCE it belongs to."""
import concurrent.futures
import gzip
import io
import pathlib
import socket
import time
import zlib

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from web import JSON, MULTIPART_DICOM, make, multipart, new_uid, part10, parts_of, store, url_of

pytestmark = pytest.mark.slow


def test_HOS_41_a_bulk_data_path_that_ends_in_an_item_is_400(server):
    ds = make()
    ds.RequestAttributesSequence = Sequence([Dataset()])
    store(server, ds)
    url = url_of(server, ds) + "/bulkdata/"
    for path, status in (("00400275", 404), ("0x400275", 400), ("-0400275", 400), ("%200400275", 400), ("00400275.+0.00400009", 400)):
        assert requests.get(url + path, timeout=60).status_code == status, path
    # What stands behind the path in the request must not be read as if it were part of it.
    for path in ("00400275.0", "00400275.0?aaaaa7FE00010", "00400275.", "00400275.0.", "00400275.-1.00400009"):
        answer = requests.get(url + path, timeout=60)
        assert answer.status_code in (400, 404), (path, answer.status_code)
    for tail in range(12):
        assert requests.get(f"{url}00400275.0?{'a' * tail}7FE00010", timeout=60).status_code == 400


def test_HOS_35_a_reader_that_is_cut_is_reset_so_that_the_kernel_keeps_nothing(start_server):
    server = start_server({"http": {"idleTimeoutSeconds": 1, "headerTimeoutSeconds": 1}})
    ds = make(Rows=2048, Columns=2048, NumberOfFrames=8)
    store(server, ds)
    clients = [socket.create_connection(("127.0.0.1", server.http_port), 20) for _ in range(4)]
    for client in clients:
        client.sendall(f"GET {url_of(server, ds)[len(server.url):]} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    time.sleep(4)
    for client in clients:
        with client, pytest.raises(ConnectionResetError):
            while client.recv(1 << 20):
                pass


def test_WADO_03_what_is_deleted_while_it_is_read_is_left_out_or_gone_and_never_an_error(server):
    study, series = new_uid(), new_uid()
    files = {}
    for number in range(6):
        ds = make(study=study, series=series, InstanceNumber=number, PatientID="WADO03", AccessionNumber="WADO03")
        files[part10(ds)] = ds
    ds = next(iter(files.values()))
    end = time.monotonic() + 6

    def write(_):
        while time.monotonic() < end:
            store(server, *files)
            for target in [url_of(server, d) for d in files.values()] + [url_of(server, ds, "study")]:
                assert requests.delete(target, timeout=60).status_code in (204, 404, 410)

    def read(number):
        statuses = set()
        feed = server.dicomweb + "/changefeed?limit=1000&offset="
        latest = requests.get(server.dicomweb + "/changefeed/latest", timeout=60).json()["sequence"]
        while time.monotonic() < end:
            url = url_of(server, ds, ("study", "series", "instance")[number % 3])
            whole = requests.get(url, headers={"Accept": MULTIPART_DICOM + "; transfer-syntax=*"}, timeout=60)
            if whole.status_code == 200:
                parts = parts_of(whole)
                assert parts and all(content in files for _, content in parts)
            metadata = requests.get(url + "/metadata", headers=JSON, timeout=60)
            assert metadata.status_code != 200 or metadata.json()
            frames = requests.get(url_of(server, ds) + "/frames/1", timeout=60)
            changes = requests.get(f"{feed}{latest}", timeout=60)
            latest = max([latest] + [change["sequence"] for change in changes.json()])
            statuses |= {whole.status_code, metadata.status_code, frames.status_code, changes.status_code}
        return statuses

    store(server, *files)
    with concurrent.futures.ThreadPoolExecutor(9) as pool:
        writers = [pool.submit(write, i) for i in range(3)]
        readers = [pool.submit(read, i) for i in range(6)]
        for writer in writers:
            writer.result(60)
        for reader in readers:
            assert reader.result(60) <= {200, 404, 410}


def test_CAP_03_what_was_answered_arrives_whole_though_the_instance_is_deleted_at_once(server):
    ds = make(Rows=512, Columns=512, PixelData=b"\xa5" * (512 * 512 * 2))
    content = part10(ds)
    path = url_of(server, ds)[len(server.url) :]
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nAccept: application/dicom; transfer-syntax=*\r\nConnection: close\r\n\r\n"
    for _ in range(20):
        store(server, content)
        with socket.create_connection(("127.0.0.1", server.http_port), 20) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            client.sendall(request.encode())
            client.recv(1, socket.MSG_PEEK)  # it is being answered
            time.sleep(0.05)  # and lies in the queues of the sockets now
            assert requests.delete(url_of(server, ds), timeout=60).status_code == 204
            time.sleep(0.05)
            answer = b""
            while piece := client.recv(1 << 20):
                answer += piece
        assert answer.split(b"\r\n\r\n", 1)[1] == content


def picture_of(rows, columns, **attributes):
    return make(Rows=rows, Columns=columns, BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0,
                SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", PixelData=b"\x64" * (rows * columns), **attributes)


def test_HOS_42_pictures_that_cannot_be_asked_for_are_refused(server):
    ds = picture_of(2, 4)
    store(server, part10(ds))
    url = url_of(server, ds)
    for region, status in (
        ("0.9999,0,0.0002,1", 200), ("0,0,1e-320,1", 200), ("3.9999999999,0,,", 200), ("-0,-0,1,1", 200), ("0,0,-4,-2", 200),
        ("1e308,0,1,1", 400), ("0,0,-0,1", 400), ("0,0,1e308,1e308", 400), ("4,0,,", 400), ("5,0,,", 400), ("0,0,nan,1", 400),
    ):
        assert requests.get(f"{url}/rendered?viewport=4,4,{region}", timeout=60).status_code == status, region
    for viewport in ("1000000000,1000000000", "0x10,1", ",,,,,", ",".join("1" * 5000), "1,1,1,1,1,1,1"):
        assert requests.get(f"{url}/rendered?viewport={viewport}", timeout=60).status_code == 400, viewport
    for frames, status in (("1," * 999 + "1", 200), ("1," * 1000 + "1", 400), ("4294967296", 400), ("18446744073709551617", 400),
                           ("1,,1", 400), ("1-99999999", 400)):
        answer = requests.get(f"{url}/frames/{frames}/rendered", timeout=60)
        assert answer.status_code == status, (frames[:20], answer.status_code)


@pytest.mark.parametrize(
    "attributes",
    [{"Rows": 65535, "Columns": 65535}, {"Rows": 0, "Columns": 0}, {"BitsAllocated": 0, "BitsStored": 0}, {"SamplesPerPixel": 65535},
     {"BitsAllocated": 64, "BitsStored": 64}, {"SamplesPerPixel": 3, "PlanarConfiguration": 9, "PhotometricInterpretation": "RGB"}],
)
def test_HOS_42_images_that_lie_have_no_picture(server, attributes):
    ds = picture_of(2, 4)
    for name, content in attributes.items():
        setattr(ds, name, content)
    store(server, part10(ds))
    assert requests.get(url_of(server, ds) + "/rendered", timeout=60).status_code == 406
    assert requests.get(url_of(server, ds) + "/thumbnail", timeout=60).status_code == 404


def test_HOS_45_what_was_kept_for_one_host_is_given_to_no_other(server):
    study, series = new_uid(), new_uid()
    files = [picture_of(2, 4, study=study, series=series, InstanceNumber=n, ImageComments=new_uid()) for n in range(60)]
    store(server, *(part10(ds) for ds in files))
    url = url_of(server, files[0], "series") + "/metadata"
    tags = set()
    for coding in ("gzip", "identity"):
        for host in ("evil.example", "evil.example", "other.example", "other.example"):
            answer = requests.get(url, headers={**JSON, "Host": host, "Accept-Encoding": coding}, timeout=60)
            assert answer.status_code == 200 and f"http://{host}/" in answer.text
            assert ("evil" in answer.text) == (host == "evil.example")
            tags.add(answer.headers["ETag"])
    assert len(tags) == 2
    for host in ('e"vil', "e vil", "a/../b", "x@evil"):
        assert requests.get(url, headers={**JSON, "Host": host}, timeout=60).status_code == 400


def resident(server):
    """Bytes of memory."""
    return int(pathlib.Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def bomb(size):
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as packed:
        for _ in range(size >> 20):
            packed.write(bytes(1 << 20))
    return out.getvalue()


def test_HOS_39_coded_bodies_are_refused_and_never_unpacked(server):
    ds = make()
    body, content_type = multipart([part10(ds)])
    url = server.dicomweb + "/studies"
    packed = gzip.compress(body)
    before = resident(server)
    for coding, content in (("gzip", packed), ("gzip", bomb(512 << 20)), ("gzip, gzip", gzip.compress(packed)), ("deflate", zlib.compress(body)),
                            ("br", body), ("gzip", b"no gzip at all"), ("gzip", packed[:-5]), ("x-gzip", packed), ("zstd", body),
                            ("gzip" + ", gzip" * 1000, body), ("identity, gzip", packed), (";", body)):
        headers = {"Content-Type": content_type, "Content-Encoding": coding, **JSON}
        answer = requests.post(url, data=content, headers=headers, timeout=60)
        assert answer.status_code in (400, 415), (coding[:20], answer.status_code)
    assert resident(server) - before < 64 << 20
    assert requests.get(url_of(server, ds), timeout=60).status_code == 404
    for coding in ("identity", "Identity"):
        headers = {"Content-Type": content_type, "Content-Encoding": coding, **JSON}
        assert requests.post(url, data=body, headers=headers, timeout=60).status_code in (200, 409, 415)


@pytest.mark.parametrize("head, statuses", [
    ("Transfer-Encoding: gzip, chunked", (b"400", b"501")), ("Transfer-Encoding: gzip", (b"400", b"501")),
    ("Transfer-Encoding: chunked, chunked", (b"400", b"501")), ("Content-Length: 5\r\nContent-Encoding: gzip", (b"400", b"415")),
])
def test_HOS_39_codings_of_the_transfer_and_wrong_lengths(server, head, statuses):
    with socket.create_connection(("127.0.0.1", server.http_port), 20) as client:
        client.sendall(f"POST /dicomweb/studies HTTP/1.1\r\nHost: a\r\nContent-Type: {MULTIPART_DICOM}; boundary=b\r\n{head}\r\n\r\n"
                       .encode() + b"5\r\nabcde\r\n0\r\n\r\n")
        client.settimeout(20)
        status = client.recv(4096).split(b" ")[1]
    assert status in statuses


def test_HOS_39_answers_are_packed_once_and_no_further_than_asked(server):
    ds = make(ImageComments="x" * 9000)
    store(server, ds)
    url = url_of(server, ds) + "/metadata"
    plain = requests.get(url, headers={**JSON, "Accept-Encoding": "identity"}, timeout=60)
    for accepted in ("gzip", "gzip, gzip", "gzip;q=1, deflate, br", "*"):
        answer = requests.get(url, headers={**JSON, "Accept-Encoding": accepted}, stream=True, timeout=60)
        assert answer.headers.get("Content-Encoding", "identity") in ("identity", "gzip")
        assert answer.json() == plain.json()
    for refused in ("gzip;q=0", "gzip;q=0, identity", "br"):
        answer = requests.get(url, headers={**JSON, "Accept-Encoding": refused}, timeout=60)
        assert answer.status_code == 200 and "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("field, status", [
    ("bytes=" + ",".join("0-" for _ in range(10000)), 200), ("bytes=0-1,0-1", 200), ("bytes=9-3", 200), ("bytes=-", 200), ("bytes=--1", 200),
    ("bytes=0-18446744073709551615", 200), ("bytes=0-999999999999999999", 206), ("bytes=18446744073709551616-", 200),
    ("bytes=9223372036854775807-", 416), ("bytes=-0", 416), ("bytes=-99999999999999999999", 200), ("bytes=-999999999999999999", 206),
    ("bytes=999999999-", 416), ("bytes=0x0-0x9", 200), ("bytes=0-9\t", 200), ("bits=0-9", 200), ("", 200), ("bytes", 200), ("bytes = 0-9", 200),
])
def test_HOS_43_ranges_give_a_part_or_all_and_never_more(server, field, status):
    ds = make()
    store(server, ds)
    for path, accept in (("", "application/dicom; transfer-syntax=*"), ("/bulkdata/7FE00010", "application/octet-stream"),
                         ("/frames/1", "application/octet-stream")):
        url = url_of(server, ds) + path
        whole = requests.get(url, headers={"Accept": accept}, timeout=60).content
        answer = requests.get(url, headers={"Accept": accept, "Range": field}, timeout=60)
        assert answer.status_code in (status, 400, 431) if len(field) > 8000 else answer.status_code == status, (path, answer.status_code)
        assert len(answer.content) <= max(len(whole), 200)
        if answer.status_code in (200, 206):
            assert answer.content in whole if status == 206 else answer.content == whole
        if status == 416:
            assert answer.headers["Content-Range"] == f"bytes */{len(whole)}"


def test_HOS_43_an_answer_of_unknown_length_is_sent_whole(server):
    ds = make()
    store(server, ds)
    for suffix, accept in (("", MULTIPART_DICOM), ("/metadata", "application/dicom+json")):
        whole = requests.get(url_of(server, ds, "series") + suffix, headers={"Accept": accept}, timeout=60)
        answer = requests.get(url_of(server, ds, "series") + suffix, headers={"Accept": accept, "Range": "bytes=0-9"}, timeout=60)
        assert answer.status_code == whole.status_code == 200
        assert len(answer.content) == len(whole.content)
    twice = requests.Request("GET", url_of(server, ds), headers={"Accept": "application/dicom"}).prepare()
    with socket.create_connection(("127.0.0.1", server.http_port), 20) as client:
        client.sendall(f"GET {twice.path_url} HTTP/1.1\r\nHost: a\r\nAccept: application/dicom\r\nRange: bytes=0-9\r\nRange: bytes=20-29\r\n"
                       "Connection: close\r\n\r\n".encode())
        client.settimeout(20)
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
    assert answer.split(b" ")[1] in (b"200", b"206", b"400") and len(answer) < 4096
