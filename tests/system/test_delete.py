# SPDX-License-Identifier: MIT
"""DELETE of studies, series and instances, CONFORMANCE CAP-03 and WEB-11."""
import pytest
import requests

from web import JSON, MULTIPART_DICOM, get, make, new_uid, store, url_of, value

ANY = MULTIPART_DICOM + "; transfer-syntax=*"


def delete(url, expected=204):
    answer = requests.delete(url, timeout=60)
    assert answer.status_code == expected, (answer.status_code, answer.text)
    return answer


def status(url, accept=ANY):
    return requests.get(url, headers={"Accept": accept}, timeout=60).status_code


@pytest.fixture
def study(server):
    """Two series of two instances."""
    uid = new_uid()
    series = [new_uid(), new_uid()]
    datasets = [make(study=uid, series=s, PatientID=f"D{uid[-10:]}", InstanceNumber=n) for s in series for n in (1, 2)]
    store(server, *datasets)
    return datasets


def find(server, ds, level="studies", **keys):
    answer = requests.get(
        f"{server.dicomweb}/{level}", params={"StudyInstanceUID": ds.StudyInstanceUID, **keys}, headers=JSON, timeout=60
    )
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.status_code == 200 else []


def test_CAP_03_a_deleted_instance_is_gone_everywhere_at_once(server, study):
    ds = study[0]
    answer = delete(url_of(server, ds))
    assert answer.content == b""
    assert status(url_of(server, ds)) == 410
    assert status(url_of(server, ds) + "/metadata", JSON["Accept"]) == 410
    assert status(url_of(server, ds) + "/frames/1", "*/*") == 410
    delete(url_of(server, ds), expected=410)
    assert ds.SOPInstanceUID not in {value(i, "00080018") for i in find(server, ds, "instances")}
    match = find(server, ds)[0]
    assert value(match, "00201208") == 3 and value(match, "00201206") == 2
    assert len(get(url_of(server, ds, "series") + "/metadata").json()) == 1


def test_CAP_03_a_series_is_deleted_whole_and_the_study_stays(server, study):
    ds = study[0]
    delete(url_of(server, ds, "series"))
    assert status(url_of(server, ds, "series")) == 410
    assert status(url_of(server, ds)) == 410
    assert status(url_of(server, study[2])) == 200
    match = find(server, ds)[0]
    assert value(match, "00201208") == 2 and value(match, "00201206") == 1
    delete(url_of(server, ds, "series"), expected=410)


def test_CAP_03_a_study_is_deleted_whole(server, study):
    ds = study[0]
    delete(url_of(server, ds, "study"))
    for level in ("study", "series", "instance"):
        assert status(url_of(server, ds, level)) == 410
    assert find(server, ds) == []
    assert find(server, ds, "instances") == []
    delete(url_of(server, ds, "study"), expected=410)


def test_CAP_03_deleting_the_last_instance_ends_its_series_and_study(server):
    ds = make()
    store(server, ds)
    delete(url_of(server, ds))
    assert status(url_of(server, ds, "study")) == 410
    assert find(server, ds) == []


def test_WEB_11_what_was_never_here_is_404_and_what_is_no_uid_400(server, study):
    delete(f"{server.dicomweb}/studies/{new_uid()}", expected=404)
    delete(f"{server.dicomweb}/studies/{study[0].StudyInstanceUID}/series/{new_uid()}", expected=404)
    delete(url_of(server, study[0], "series") + f"/instances/{new_uid()}", expected=404)
    for bad in ("abc", "1..2", "1.2.3x", "1." + "2" * 64, "%2e%2e", "1.2%20"):
        delete(f"{server.dicomweb}/studies/{bad}", expected=400)
    # A place that does not fit together deletes nothing.
    other = make()
    store(server, other)
    delete(url_of(server, other, "study") + f"/series/{study[0].SeriesInstanceUID}", expected=404)
    assert status(url_of(server, study[0])) == 200


def test_WEB_11_after_a_new_store_it_is_200_again(server, study):
    ds = study[0]
    delete(url_of(server, ds, "study"))
    assert status(url_of(server, ds)) == 410
    store(server, ds)
    for level in ("study", "series", "instance"):
        assert status(url_of(server, ds, level)) == 200
    assert status(url_of(server, study[1])) == 410
    match = find(server, ds)[0]
    assert value(match, "00201208") == 1


def test_CAP_03_a_download_that_began_before_the_delete_ends_whole(server):
    ds = make(Rows=1024, Columns=1024, NumberOfFrames=16)
    store(server, ds)
    with requests.get(url_of(server, ds), headers={"Accept": ANY}, stream=True, timeout=60) as answer:
        chunks = answer.iter_content(1 << 16)
        body = next(chunks)
        delete(url_of(server, ds))
        body += b"".join(chunks)
    assert ds.PixelData in body


def test_CAP_04_of_a_study_deleted_while_it_is_retrieved_no_instance_comes_in_part_and_its_space_comes_back(start_server):
    server = start_server({"dimse": {"peers": []}})
    frames = [make(study="2.25.4711", Rows=1024, Columns=1024, PixelData=bytes([i + 1]) * (1024 * 1024 * 2), InstanceNumber=i) for i in range(6)]
    store(server, *frames)

    def figure(name):
        text = requests.get(server.url + "/metrics", timeout=60).text
        return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))

    before = figure("hounsfield_blob_bytes")
    got = b""
    with requests.get(url_of(server, frames[0], "study"), headers={"Accept": ANY}, stream=True, timeout=60) as answer:
        assert answer.status_code == 200
        chunks = answer.iter_content(1 << 16)
        got += next(chunks)
        delete(url_of(server, frames[0], "study"))
        got += b"".join(chunks)
    whole = sum(ds.PixelData in got for ds in frames)
    assert 1 <= whole == got.count(b"Content-Type: application/dicom")  # what had not begun is left out
    assert figure("hounsfield_blob_bytes") < before / 10
    assert status(url_of(server, frames[0], "study")) == 410  # what is left of it
    (line,) = [line for line in server.log().splitlines() if "delete: study=2.25.4711 " in line]
    assert "count=6" in line and "request=" in line  # the record of who and when: the request's line has the user


def test_CAP_03_what_is_deleted_survives_a_restart_as_gone(start_server):
    server = start_server()
    kept, dropped = make(), make()
    store(server, kept, dropped)
    delete(url_of(server, dropped, "study"))
    server.restart()
    assert status(url_of(server, kept)) == 200
    assert status(url_of(server, dropped)) == 410
