# SPDX-License-Identifier: MIT
"""The change feed over HTTP."""
import concurrent.futures
import datetime
import re
import time

import pytest
import requests

from web import JSON, get, make, new_uid, store, url_of, value


def feed(server, **parameters):
    answer = requests.get(server.dicomweb + "/changefeed", params=parameters, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    return answer.json()


def latest(server):
    answer = requests.get(server.dicomweb + "/changefeed/latest", timeout=60)
    return answer.json()["sequence"] if answer.status_code == 200 else 0


def since(server, offset):
    """All changes after `offset`."""
    changes, deadline = [], time.monotonic() + 60
    while page := feed(server, offset=offset, limit=100, includeMetadata="false"):
        assert time.monotonic() < deadline, "a feed without an end"
        changes += page
        offset = page[-1]["sequence"]
    return changes


def test_an_empty_feed_is_an_empty_list_and_has_no_latest(start_server):
    server = start_server()
    assert feed(server) == []
    answer = requests.get(server.dicomweb + "/changefeed/latest", timeout=60)
    assert answer.status_code == 204 and answer.content == b""


def test_an_entry_has_all_members(server):
    ds = make()
    before = latest(server)
    start = datetime.datetime.now(datetime.timezone.utc)
    store(server, ds)
    (entry,) = feed(server, offset=before)
    assert set(entry) == {
        "sequence",
        "studyInstanceUid",
        "seriesInstanceUid",
        "sopInstanceUid",
        "action",
        "timestamp",
        "state",
        "metadata",
    }
    assert entry["sequence"] > before
    assert entry["studyInstanceUid"] == ds.StudyInstanceUID
    assert entry["seriesInstanceUid"] == ds.SeriesInstanceUID
    assert entry["sopInstanceUid"] == ds.SOPInstanceUID
    assert entry["action"] == "create" and entry["state"] == "current"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["timestamp"])
    at = datetime.datetime.fromisoformat(entry["timestamp"])
    assert abs((at - start).total_seconds()) < 60
    assert value(entry["metadata"], "00080018") == ds.SOPInstanceUID
    assert entry["metadata"] == get(url_of(server, ds) + "/metadata").json()[0]
    assert requests.get(server.dicomweb + "/changefeed/latest", timeout=60).json() == entry


def test_metadata_can_be_left_out(server):
    before = latest(server)
    store(server, make())
    for text in ("false", "False"):
        assert "metadata" not in feed(server, offset=before, includeMetadata=text)[0]
        assert "metadata" not in feed(server, offset=before, includemetadata=text)[0]
    assert "metadata" in feed(server, offset=before, includeMetadata="true")[0]


def test_one_create_per_instance_none_for_a_duplicate_one_delete_per_instance(server):
    study = new_uid()
    datasets = [make(study=study) for _ in range(3)]
    before = latest(server)
    store(server, *datasets)
    store(server, *datasets)
    changes = since(server, before)
    assert [c["action"] for c in changes] == ["create"] * 3
    assert {c["sopInstanceUid"] for c in changes} == {d.SOPInstanceUID for d in datasets}
    requests.delete(url_of(server, datasets[0], "study"), timeout=60)
    changes = since(server, before)
    assert [c["action"] for c in changes] == ["create"] * 3 + ["delete"] * 3
    assert {c["sopInstanceUid"] for c in changes[3:]} == {d.SOPInstanceUID for d in datasets}
    assert {c["state"] for c in changes} == {"deleted"}


def test_the_state_follows_what_became_of_the_instance(server):
    ds = make()
    before = latest(server)
    store(server, ds)
    requests.delete(url_of(server, ds), timeout=60)
    (created, deleted) = feed(server, offset=before)
    assert (created["action"], created["state"]) == ("create", "deleted")
    assert (deleted["action"], deleted["state"]) == ("delete", "deleted")
    assert "metadata" not in created and "metadata" not in deleted
    ds.PatientName = "Again"
    store(server, ds)
    changes = feed(server, offset=before)
    assert [c["action"] for c in changes] == ["create", "delete", "create"]
    assert changes[0]["state"] == "replaced" and changes[2]["state"] == "current"
    assert "metadata" not in changes[0] and "metadata" in changes[2]


def test_offset_is_exclusive_and_limit_bounds_the_page(server):
    before = latest(server)
    for _ in range(3):
        store(server, *[make() for _ in range(5)])
    changes = since(server, before)
    sequences = [c["sequence"] for c in changes]
    assert len(sequences) == 15 and sequences == sorted(set(sequences))
    assert [c["sequence"] for c in feed(server, offset=before)] == sequences[:10]
    assert [c["sequence"] for c in feed(server, offset=before, limit=1)] == sequences[:1]
    assert [c["sequence"] for c in feed(server, offset=sequences[4], limit=3)] == sequences[5:8]
    assert [c["sequence"] for c in feed(server, offset=before, limit=1000)] == sequences
    assert feed(server, offset=sequences[-1]) == []
    assert feed(server, offset=10**17) == []


@pytest.mark.parametrize(
    "query",
    [
        "offset=-1", "offset=", "offset=x", "offset=1.5", "offset=1e9", "offset=99999999999999999999", "offset=%2B1",
        "limit=0", "limit=-1", "limit=1001", "limit=", "limit=ten", "limit=1e99",
        "includeMetadata=yes", "includeMetadata=", "includeMetadata=1",
    ],
)  # fmt: skip
def test_bad_values_are_400(server, query):
    assert requests.get(f"{server.dicomweb}/changefeed?{query}", timeout=60).status_code == 400


def test_unknown_parameters_are_ignored_and_other_types_406(server):
    assert requests.get(server.dicomweb + "/changefeed?colour=red&limit=1", timeout=60).status_code == 200
    assert (
        requests.get(server.dicomweb + "/changefeed", headers={"Accept": "image/jpeg"}, timeout=60).status_code == 406
    )
    answer = requests.get(server.dicomweb + "/changefeed?limit=1", headers=JSON, timeout=60)
    assert answer.headers["Content-Type"].startswith("application/dicom+json")
    assert requests.post(server.dicomweb + "/changefeed", timeout=60).status_code == 405


def test_a_follower_sees_each_change_of_parallel_stores_exactly_once(server):
    before = latest(server)
    datasets = [[make() for _ in range(5)] for _ in range(8)]
    seen = []
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        stores = [pool.submit(store, server, *group) for group in datasets]
        offset = before
        while len(seen) < 40:
            page = feed(server, offset=offset, limit=7, includeMetadata="false")
            seen += [c["sopInstanceUid"] for c in page]
            offset = page[-1]["sequence"] if page else offset
            if not page and all(s.done() for s in stores):
                page = feed(server, offset=offset, limit=100, includeMetadata="false")
                seen += [c["sopInstanceUid"] for c in page]
                break
        for one in stores:
            one.result(60)
    assert sorted(seen) == sorted(str(d.SOPInstanceUID) for group in datasets for d in group)


def test_the_feed_survives_a_restart(start_server):
    server = start_server()
    store(server, make(), make())
    before = since(server, 0)
    server.restart()
    assert since(server, 0) == before
    store(server, make())
    changes = since(server, 0)
    assert changes[:2] == before and len(changes) == 3
    assert changes[2]["sequence"] > before[-1]["sequence"]
