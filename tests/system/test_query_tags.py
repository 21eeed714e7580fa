# SPDX-License-Identifier: MIT
"""Extended query tags: attributes that get an index on demand, for QIDO-RS and C-FIND (CONFORMANCE QIDO-15). Whatever is
indexed, answers are those without an index."""
import concurrent.futures
import contextlib
import re
import shutil
import subprocess
import time
import uuid

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from conftest import BINARY
from web import get, make, new_uid, store, url_of, value


def tags_url(server, tag=""):
    return f"{server.dicomweb}/extendedquerytags" + (f"/{tag}" if tag else "")


def add(server, *tags, expected=202):
    body = [dict(zip(("path", "vr", "level", "privateCreator"), tag)) for tag in tags]
    answer = requests.post(tags_url(server), json=body, timeout=30)
    assert answer.status_code == expected, answer.text
    return answer


def wait_ready(server, *paths):
    deadline = time.monotonic() + 60
    for path in paths:
        while (tag := get(tags_url(server, path)).json())["status"] != "Ready":
            assert time.monotonic() < deadline, tag
            time.sleep(0.05)


def wait_gone(server, path):
    deadline = time.monotonic() + 60
    while requests.get(tags_url(server, path), timeout=30).status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def found(server, query, path="/studies", tag="0020000D"):
    answer = requests.get(f"{server.dicomweb}{path}?{query}", timeout=60)
    assert answer.status_code in (200, 204), answer.text
    return [value(item, tag) for item in answer.json()] if answer.content else []


def report(text, **attributes):
    ds = make(**attributes)
    item, inner = Dataset(), Dataset()
    inner.TextValue = text
    item.ContentSequence = Sequence([inner])
    ds.ContentSequence = Sequence([item])
    return ds


TEXT = "0040A730.0040A730.0040A160"


@pytest.fixture
def plain(start_server):
    return start_server()


def test_tags_are_added_listed_and_removed(plain):
    server = plain
    assert get(tags_url(server)).json() == []
    answer = add(server, ("00081010", "SH", "Series"), ("PatientComments", "LT", "study"))
    assert answer.json()["href"] == answer.headers["Location"] == f"{server.dicomweb}/operations/{answer.json()['id']}"
    wait_ready(server, "00081010", "00104000")
    (station, comments) = get(tags_url(server)).json()
    assert station == {"path": "00081010", "vr": "SH", "privateCreator": None, "level": "Series", "status": "Ready", "queryStatus": "Enabled"}
    assert comments["path"] == "00104000" and get(tags_url(server, "StationName")).json() == station
    assert get(tags_url(server) + "?limit=1&offset=1").json() == [comments]
    assert requests.delete(tags_url(server, "00081010"), timeout=30).status_code == 204
    wait_gone(server, "00081010")
    assert [tag["path"] for tag in get(tags_url(server)).json()] == ["00104000"]
    for method in (requests.get, requests.delete):
        assert method(tags_url(server, "00081010"), timeout=30).status_code == 404
    assert requests.get(tags_url(server, "00081010") + "/errors", timeout=30).status_code == 404


def test_what_cannot_be_a_query_tag_is_refused_and_nothing_of_the_request_is_added(plain):
    server = plain
    good = ("00081010", "SH", "Series")
    add(server, good)
    wait_ready(server, "00081010")
    for bad, status in [
        (good, 409), (("00100020", "LO", "Study"), 400), (("7FE00010", "OW", "Instance"), 400), (("NoSuchThing", "LO", "Study"), 400),
        (("00104000", "SH", "Study"), 400), (("00104000", "LT", "Patient"), 400), (("00104000", "LT", "Study", "ACME"), 400),
        (("00091001", "", "Study"), 400), (("00201208", "IS", "Study"), 400), (("00081010.0040A160", "UT", "Instance"), 400),
    ]:
        add(server, ("00081070", "PN", "Series"), bad, expected=status)
    for body in ("", "[", "[]", "{}", '[{"path": 1}]', '[{"path": "00104000"}]', '[[{"path": "00104000"}]]', '[{"path":"00104000","level":"Study"}] x'):
        answer = requests.post(tags_url(server), data=body, headers={"Content-Type": "application/json"}, timeout=30)
        assert answer.status_code == 400, body
    assert requests.post(tags_url(server), data="[]", timeout=30).status_code == 415
    add(server, *[(f"0009{0x1000 + n:04X}", "LO", "Study") for n in range(130)], expected=413)
    assert [tag["path"] for tag in get(tags_url(server)).json()] == ["00081010"]


def test_QIDO_15_what_was_there_and_what_comes_is_found_by_the_index_and_answers_stay_the_same(plain):
    server = plain
    series = [new_uid(), new_uid()]
    study = new_uid()
    old = [report("calcification left", StationName="CT1", PatientComments="tall", RequestingPhysician="Ask^A"),
           report("mass", study=study, series=series[0], StationName="CT2", InstanceNumber=1),
           report("Calcification right", study=study, series=series[1], StationName="CT3", InstanceNumber=2, SeriesNumber=2)]
    for n, ds in enumerate(old):
        block = 0x10 + n
        ds.add_new(0x00090000 + block, "LO", "ACME")
        ds.add_new(0x00090001 + (block << 8), "LO", f"value {n % 2}")
    new = [report("calcification late", StationName="CT1", PatientComments="tall"), make(StationName="CT9")]
    searches = [
        (query, path, tag)
        for query in ("StationName=CT1", "StationName=CT2", "StationName=CT*", f"{TEXT}=calc*", f"{TEXT}=mass", f"{TEXT}=Calcification%20right",
                      "PatientComments=tall", "PatientComments=t*", "RequestingPhysician=ask^a", "00091001=value%200&00090010=ACME",
                      "StationName=nothing")
        for path, tag in (("/studies", "0020000D"), ("/series", "0020000E"), ("/instances", "00080018"))
    ]
    store(server, *old)
    store(server, *new)
    unindexed = {search: found(server, *search) for search in searches}
    assert any(unindexed.values())
    for ds in new:
        assert requests.delete(url_of(server, ds), timeout=30).status_code == 204
    add(server, ("00081010", "SH", "Series"), (TEXT, "UT", "Instance"), ("00104000", "LT", "Study"), ("00321032", "PN", "Study"),
        ("00091001", "LO", "Instance", "ACME"))
    wait_ready(server, "00081010", TEXT, "00104000", "00321032", "00091001")
    store(server, *new)
    for search in searches:
        assert found(server, *search) == unindexed[search], search
    # Disabled, and removed: the same again.
    answer = requests.patch(tags_url(server, TEXT), json={"QueryStatus": "Disabled"}, timeout=30)
    assert answer.status_code == 200 and answer.json()["queryStatus"] == "Disabled"
    assert requests.patch(tags_url(server, TEXT), json={"QueryStatus": "Perhaps"}, timeout=30).status_code == 400
    for search in searches:
        assert found(server, *search) == unindexed[search], search
    for path in ("00081010", "00104000"):
        requests.delete(tags_url(server, path), timeout=30)
        wait_gone(server, path)
    for search in searches:
        assert found(server, *search) == unindexed[search], search


def test_the_index_follows_deletions_new_sources_and_other_dates(plain):
    server = plain
    add(server, ("00104000", "LT", "Study"), ("00081010", "SH", "Series"), ("00204000", "LT", "Instance"))
    wait_ready(server, "00104000", "00081010", "00204000")
    first = make(PatientComments="first", StationName="A", ImageComments="x", StudyDate="")
    second = make(study=first.StudyInstanceUID, series=first.SeriesInstanceUID, PatientID=first.PatientID, PatientComments="second",
                  StationName="B", ImageComments="y", StudyDate="20250101")
    other = make(ImageComments="y", StudyDate="20240101")
    store(server, first)
    store(server, second, other)
    # The study has a date since its second instance: it comes before the older one.
    assert found(server, "ImageComments=y") == [other.StudyInstanceUID]
    assert found(server, "ImageComments=y", "/instances", "00080018") == [second.SOPInstanceUID, other.SOPInstanceUID]
    assert found(server, "PatientComments=first") == [first.StudyInstanceUID] and not found(server, "PatientComments=second")
    requests.delete(url_of(server, first), timeout=30)
    assert not found(server, "PatientComments=first") and found(server, "PatientComments=second") == [first.StudyInstanceUID]
    assert not found(server, "ImageComments=x", "/instances", "00080018")
    assert found(server, "StationName=B", "/series", "0020000E") == [first.SeriesInstanceUID]
    requests.delete(url_of(server, second), timeout=30)
    assert not found(server, "PatientComments=second") and not found(server, "StationName=B", "/series", "0020000E")
    assert found(server, "ImageComments=y", "/instances", "00080018") == [other.SOPInstanceUID]
    server.stop()
    check = subprocess.run([BINARY, "verify", "--data", server.data_dir], capture_output=True, text=True, timeout=120)
    assert check.returncode == 0, check.stdout + check.stderr


def test_values_that_are_none_of_their_vr_are_told_and_found_all_the_same(plain):
    server = plain
    ds = make()
    ds.add_new(0x00181200, "LO", "yesterday")  # Date of Last Calibration, a DA
    good = make()
    good.add_new(0x00181200, "DA", "20250101")
    store(server, ds, good)
    add(server, ("00181200", "DA", "Instance"))
    wait_ready(server, "00181200")
    tag = get(tags_url(server, "00181200")).json()
    assert tag["errors"] == {"count": 1, "href": tags_url(server, "00181200") + "/errors"}
    (error,) = get(tag["errors"]["href"]).json()
    assert (error["studyInstanceUid"], error["sopInstanceUid"]) == (ds.StudyInstanceUID, ds.SOPInstanceUID)
    assert error["errorMessage"] and "yesterday" not in error["errorMessage"]
    assert found(server, "DateOfLastCalibration=20241231-20250102", "/instances", "00080018") == [good.SOPInstanceUID]
    requests.delete(url_of(server, ds), timeout=30)
    assert "errors" not in get(tags_url(server, "00181200")).json() and get(tags_url(server, "00181200") + "/errors").json() == []


def test_WEB_15_only_who_administers_the_server_adds_and_removes(start_server, tmp_path):
    import hashlib
    import json

    def user(name, *rights):
        return {"name": name, "tokenSha256": hashlib.sha256(name.encode()).hexdigest(), "rights": list(rights)}

    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": [user("reader", "read", "write", "delete"), user("admin", "read", "admin")]}))
    server = start_server({"http": {"usersFile": str(users)}})
    reader, admin = ({"Authorization": f"Bearer {name}"} for name in ("reader", "admin"))
    body = [{"path": "00081010", "vr": "SH", "level": "Series"}]
    for headers, statuses in ((reader, (403, 403, 403)), (admin, (202, 200, 204))):
        assert requests.post(tags_url(server), json=body, headers=headers, timeout=30).status_code == statuses[0]
        assert requests.patch(tags_url(server, "00081010"), json={"queryStatus": "Enabled"}, headers=headers, timeout=30).status_code == statuses[1]
        assert requests.get(tags_url(server), headers=headers, timeout=30).status_code == 200
        assert requests.delete(tags_url(server, "00081010"), headers=headers, timeout=30).status_code == statuses[2]


def many(count):
    return [make(StationName=f"CT{n % 7}", ImageComments=f"c{n % 5}", PatientID=f"P{n}", InstanceNumber=n) for n in range(count)]


def restart_without_fault(server):
    server.env.pop("HOUNSFIELD_FAULT")
    server.start()


@pytest.mark.parametrize("batch", [1, 3])
def test_the_work_in_the_background_goes_on_after_a_crash(start_server, batch):
    # The daemon kills itself in the middle of the work, as kill -9 would.
    server = start_server(env={"HOUNSFIELD_FAULT": f"reindex_batch:{batch}"})
    made = many(300)
    store(server, *made)
    with contextlib.suppress(requests.ConnectionError):  # the work begins before the answer is sent
        add(server, ("00204000", "LT", "Instance"))
    server.process.wait(30)
    restart_without_fault(server)
    late = make(ImageComments="c3", StudyDate="20300101")
    store(server, late)
    wait_ready(server, "00204000")
    expected = {d.SOPInstanceUID for d in made if d.ImageComments == "c3"} | {late.SOPInstanceUID}
    assert set(found(server, "ImageComments=c3", "/instances", "00080018")) == expected
    # What was indexed before the crash is not indexed again.
    assert re.search(r"query tags: ready number=1 places=30[01]\b", server.log())
    # And when it is removed.
    server.stop()
    server.env["HOUNSFIELD_FAULT"] = "untag_batch:1"
    server.start()
    requests.delete(tags_url(server, "00204000"), timeout=30)
    server.process.wait(30)
    restart_without_fault(server)
    wait_gone(server, "00204000")
    assert set(found(server, "ImageComments=c3", "/instances", "00080018")) == expected
    add(server, ("00204000", "LT", "Instance"))
    wait_ready(server, "00204000")
    assert set(found(server, "ImageComments=c3", "/instances", "00080018")) == expected
    server.stop()
    check = subprocess.run([BINARY, "verify", "--data", server.data_dir], capture_output=True, text=True, timeout=120)
    assert check.returncode == 0, check.stdout + check.stderr


def test_rebuild_backup_and_restore_keep_the_tags(start_server, tmp_path):
    server = start_server()
    store(server, *many(20))
    add(server, ("00204000", "LT", "Instance"), ("00104000", "LT", "Study"))
    wait_ready(server, "00204000", "00104000")
    expected = found(server, "ImageComments=c3", "/instances", "00080018")
    listed = get(tags_url(server)).json()
    assert len(expected) == 4
    backup = tmp_path / "backup"
    server.stop()
    for arguments in (["backup", "--data", server.data_dir, backup], ["rebuild", "--data", server.data_dir]):
        done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    for _ in range(2):
        server.start()
        assert get(tags_url(server)).json() == listed
        assert found(server, "ImageComments=c3", "/instances", "00080018") == expected
        server.stop()
        shutil.rmtree(server.data_dir)
        done = subprocess.run([BINARY, "restore", backup, "--data", server.data_dir], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


def test_tags_that_change_at_once_are_all_in_the_copy_that_a_new_index_is_made_with(start_server):
    server = start_server()
    store(server, make())
    paths = ["00081010", "00081030", "0008103E", "00180015", "00181030", "00204000", "00321060", "00400254"]
    vrs = ["SH", "LO", "LO", "CS", "LO", "LT", "LO", "LO"]

    def work(number):
        for _ in range(4):
            add(server, (paths[number], vrs[number], "Study" if number < 2 else "Series" if number < 5 else "Instance"))
            wait_ready(server, paths[number])
            if number % 2:
                assert requests.delete(tags_url(server, paths[number]), timeout=60).status_code == 204
                wait_gone(server, paths[number])
            else:
                return

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert "no copy" not in server.log()
    server.stop()
    done = subprocess.run([BINARY, "rebuild", "--data", server.data_dir, "--quiet"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    server.start()
    assert {tag["path"] for tag in get(tags_url(server)).json()} == set(paths[::2])


def test_the_work_for_a_tag_is_an_operation_that_is_asked_after(start_server):
    server = start_server()
    store(server, make())
    answer = add(server, ("00081010", "SH", "Series"))
    operation = answer.json()
    assert operation["href"] == answer.headers["Location"] == f"{server.dicomweb}/operations/{operation['id']}"
    wait_ready(server, "00081010")
    asked = get(operation["href"]).json()
    assert asked["operationId"] == operation["id"] and asked["type"] == "reindex" and asked["createdTime"] <= asked["lastUpdatedTime"]
    assert (asked["status"], asked["percentComplete"], asked["resources"]) == ("succeeded", 100, [tags_url(server, "00081010")])
    for unknown in (operation["id"] + "0", operation["id"][:-1], "reindex-1", "%00", "x" * 300):
        get(f"{server.dicomweb}/operations/{unknown}", expected=400 if unknown == "%00" else 404)
    requests.delete(tags_url(server, "00081010"), timeout=60)
    wait_gone(server, "00081010")
    again = add(server, ("00081010", "SH", "Series")).json()
    assert again["id"] != operation["id"]
    get(operation["href"], expected=404)


def test_an_operation_that_runs_is_202_and_tells_its_percentage(start_server):
    server = start_server()
    store(server, *many(300))
    operation = add(server, ("00204000", "LT", "Instance")).json()
    seen = [0]
    deadline = time.monotonic() + 60
    while (answer := requests.get(operation["href"], timeout=60)).status_code == 202:
        assert time.monotonic() < deadline
        asked = answer.json()
        assert asked["status"] == "running" and 0 <= asked["percentComplete"] <= 100
        assert asked["percentComplete"] >= seen[-1]
        seen.append(asked["percentComplete"])
    assert answer.status_code == 200 and answer.json()["status"] == "succeeded"
