# SPDX-License-Identifier: MIT
"""Byte ranges and conditional requests, CONFORMANCE WADO-13 and WADO-14 (RFC 9110 13, 14)."""
import pytest
import requests

from web import make, new_uid, part10, store, url_of

OCTETS = "application/octet-stream"


@pytest.fixture(scope="module")
def instance(server):
    dataset = make()
    file = part10(dataset)
    store(server, file)
    return dataset, file, url_of(server, dataset)


def ask(url, accept, expected, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = requests.get(url, headers={"Accept": accept, **headers}, timeout=30)
    assert answer.status_code == expected, (answer.status_code, answer.text[:300])
    return answer


RESOURCES = [("", "application/dicom"), ("/frames/1", OCTETS), ("/bulkdata/7FE00010", OCTETS)]


@pytest.mark.parametrize("path, accept", RESOURCES)
@pytest.mark.parametrize(
    "field, first, last",
    [("bytes=0-99", 0, 99), ("bytes=100-", 100, None), ("bytes=-7", -7, None), ("bytes=5-5", 5, 5),
     ("bytes=0-999999999", 0, None), ("bytes=-999999999", 0, None)],
)
def test_WADO_13_a_range_is_206_with_its_bytes(instance, path, accept, field, first, last):
    url = instance[2] + path
    whole = ask(url, accept, 200)
    assert whole.headers["Accept-Ranges"] == "bytes"
    size = len(whole.content)
    first = first if first >= 0 else size + first
    last = min(last, size - 1) if last is not None else size - 1
    part = ask(url, accept, 206, Range=field)
    assert part.content == whole.content[first : last + 1]
    assert part.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
    assert part.headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("path, accept", RESOURCES)
def test_WADO_13_a_range_out_of_bounds_is_416(instance, path, accept):
    url = instance[2] + path
    size = len(ask(url, accept, 200).content)
    for field in (f"bytes={size}-", "bytes=999999999-", "bytes=-0"):
        answer = ask(url, accept, 416, Range=field)
        assert answer.headers["Content-Range"] == f"bytes */{size}"
        assert answer.content == b""


@pytest.mark.parametrize(
    "field", ["bytes=0-1,5-6", "bytes=5-2", "bytes=a-b", "bytes=", "bytes=-", "items=0-1", "bytes=0-1x",
              "bytes=99999999999999999999999-", "bytes 0-1"]
)
def test_WADO_13_several_ranges_and_what_is_none_give_all(instance, field):
    ask(instance[2], "application/dicom", 200, Range=field)


def test_WADO_13_if_range_gives_the_part_only_of_the_same_thing(instance):
    url = instance[2]
    etag = ask(url, "application/dicom", 200).headers["ETag"]
    ask(url, "application/dicom", 206, Range="bytes=0-9", If_Range=etag)
    ask(url, "application/dicom", 200, Range="bytes=0-9", If_Range='"other"')
    ask(url, "application/dicom", 200, Range="bytes=0-9", If_Range="W/" + etag)
    ask(url, "application/dicom", 200, Range="bytes=0-9", If_Range="Sat, 21 Nov 2026 10:00:00 GMT")


def test_WADO_13_head_tells_the_size_and_sends_nothing(instance):
    _, file, url = instance
    answer = requests.head(url, headers={"Accept": "application/dicom", "Range": "bytes=0-9"}, timeout=30)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(file))


@pytest.mark.parametrize(
    "path, accept",
    [*RESOURCES, ("/rendered", "image/jpeg"), ("/rendered", "image/png"), ("/thumbnail", "image/png"),
     ("/frames/1/rendered", "image/jpeg")],
)
def test_WADO_14_what_the_client_has_is_304(instance, path, accept):
    url = instance[2] + path
    first = ask(url, accept, 200)
    etag = first.headers["ETag"]
    assert "private" in first.headers["Cache-Control"]
    for known in (etag, f'"x", {etag}', "W/" + etag, "*"):
        answer = ask(url, accept, 304, If_None_Match=known)
        assert (answer.content, answer.headers["ETag"]) == (b"", etag)
    for other in ('"x"', etag.strip('"'), etag[:-2] + '"'):
        assert ask(url, accept, 200, If_None_Match=other).content == first.content


def test_WADO_14_each_representation_has_its_own_tag(instance):
    url = instance[2]
    tags = [ask(url, "application/dicom", 200).headers["ETag"]]
    tags += [ask(url + "/rendered", accept, 200).headers["ETag"] for accept in ("image/jpeg", "image/png")]
    tags += [ask(url + f"/rendered?window={c},100,linear", "image/png", 200).headers["ETag"] for c in (1, 2)]
    tags += [ask(url + f"/{p}", OCTETS, 200).headers["ETag"] for p in ("frames/1", "bulkdata/7FE00010")]
    assert len(set(tags)) == len(tags)


def test_WADO_14_the_tag_changes_when_the_instance_is_replaced(server):
    uid, study = new_uid(), new_uid()
    first = make(study=study, SOPInstanceUID=uid)
    second = make(study=study, series=first.SeriesInstanceUID, SOPInstanceUID=uid, InstanceNumber=7)
    store(server, part10(first))
    url = url_of(server, first)
    etag = ask(url, "application/dicom", 200).headers["ETag"]
    assert requests.delete(url, timeout=30).status_code in (200, 204)
    ask(url, "application/dicom", 410, If_None_Match=etag)
    store(server, part10(second))
    assert ask(url, "application/dicom", 200, If_None_Match=etag).headers["ETag"] != etag


@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_WADO_14_metadata_that_the_client_has_is_304_until_something_changes(server, level, coding):
    first = make()
    store(server, part10(first))
    url = url_of(server, first, level) + "/metadata"
    accept = "application/dicom+json"
    answer = ask(url, accept, 200, Accept_Encoding=coding)
    etag = answer.headers["ETag"]
    for _ in range(2):
        assert ask(url, accept, 304, Accept_Encoding=coding, If_None_Match=etag).content == b""
        assert ask(url, accept, 200, Accept_Encoding=coding).json() == answer.json()
    assert ask(url, accept, 200, Host="other.example:81", If_None_Match=etag).headers["ETag"] != etag
    second = make(study=first.StudyInstanceUID, series=first.SeriesInstanceUID, InstanceNumber=2)
    store(server, part10(second))
    if level == "instance":
        ask(url, accept, 304, Accept_Encoding=coding, If_None_Match=etag)
        return
    assert len(ask(url, accept, 200, Accept_Encoding=coding, If_None_Match=etag).json()) == 2
    assert requests.delete(url_of(server, second), timeout=30).status_code in (200, 204)
    assert ask(url, accept, 200, Accept_Encoding=coding, If_None_Match=etag).headers["ETag"] != etag


@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize("what", ["bulkdata", "pixeldata"])
def test_WADO_14_all_bulk_data_that_the_client_has_are_304_until_something_changes(server, level, what):
    first = make()
    store(server, part10(first))
    url, accept = f"{url_of(server, first, level)}/{what}", 'multipart/related; type="application/octet-stream"'
    etag = ask(url, accept, 200).headers["ETag"]
    assert etag.startswith("W/")  # each answer has a boundary of its own
    for _ in range(2):
        assert ask(url, accept, 304, If_None_Match=etag).content == b""
    stored = ask(url, accept + "; transfer-syntax=*", 200, If_None_Match=etag).headers["ETag"]
    other = ask(url, accept, 200, Host="other.example:81", If_None_Match=etag).headers["ETag"]  # its URLs stand in the answer
    assert len({etag, stored, other}) == 3
    # no length is known beforehand: a range is not given, all is (RFC 9110 14.2)
    whole = ask(url, accept, 200, Range="bytes=0-9")
    assert bytes(first.PixelData) in whole.content and "Accept-Ranges" not in whole.headers
    second = make(study=first.StudyInstanceUID, series=first.SeriesInstanceUID, InstanceNumber=2)
    store(server, part10(second))
    if level == "instance":
        ask(url, accept, 304, If_None_Match=etag)
    else:
        assert bytes(second.PixelData) in ask(url, accept, 200, If_None_Match=etag).content
        assert requests.delete(url_of(server, second), timeout=30).status_code == 204
        assert ask(url, accept, 200, If_None_Match=etag).headers["ETag"] != etag
    assert requests.delete(url_of(server, first), timeout=30).status_code == 204
    ask(url, accept, 410, If_None_Match=etag)


def test_WADO_14_an_error_has_no_tag(instance):
    answer = ask(instance[2] + "/rendered?viewport=4,4,0,0,99,99", "image/png", 400)
    assert "ETag" not in answer.headers
