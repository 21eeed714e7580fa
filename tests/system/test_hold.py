# SPDX-License-Identifier: MIT
"""Legal holds, CONFORMANCE CAP-05: what is held cannot be deleted, whoever asks, until the hold is lifted or over."""
import concurrent.futures
import datetime
import hashlib
import json
import subprocess
import time

import pytest
import requests

from conftest import BINARY
from web import JSON, get, make, new_uid, part10, store, url_of


def hold_url(server, ds):
    return url_of(server, ds, "study") + "/hold"


def hold(server, ds, expected=200, headers=None, **members):
    answer = requests.put(hold_url(server, ds), json={"reason": "litigation 4711", **members}, headers=headers, timeout=60)
    assert answer.status_code == expected, answer.text
    return answer


def delete(url, expected, headers=None):
    answer = requests.delete(url, headers=headers, timeout=60)
    assert answer.status_code == expected, (answer.status_code, answer.text)
    return answer.text


def moment(seconds):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).isoformat()


def studies_held(server):
    return [one["study"] for one in get(server.dicomweb + "/holds", limit=1000).json()]


def test_CAP_05_of_a_held_study_nothing_is_deleted_and_the_answer_says_why(server):
    ds = make()
    other = make(study=ds.StudyInstanceUID)
    store(server, ds, other)
    given = hold(server, ds).json()
    assert given == get(hold_url(server, ds)).json()
    assert (given["study"], given["reason"], given["until"], given["user"]) == (ds.StudyInstanceUID, "litigation 4711", None, None)
    assert ds.StudyInstanceUID in studies_held(server)
    for level in ("study", "series", "instance"):
        why = delete(url_of(server, ds, level), 409)
        assert "legal hold" in why and "litigation 4711" in why
    assert len(get(url_of(server, ds, "study") + "/metadata").json()) == 2
    store(server, make(study=ds.StudyInstanceUID))  # more may come
    delete(url_of(server, ds), 409)
    unheld = make()
    store(server, unheld)
    delete(url_of(server, unheld, "study"), 204)

    delete(hold_url(server, ds), 204)
    delete(hold_url(server, ds), 404)
    assert requests.get(hold_url(server, ds), timeout=60).status_code == 404
    assert ds.StudyInstanceUID not in studies_held(server)
    delete(url_of(server, ds, "study"), 204)


def test_CAP_05_a_retention_date_ends_the_hold_by_itself(server):
    ds = make()
    store(server, ds)
    until = moment(3600)
    assert hold(server, ds, until=until).json()["until"][:19] == until[:19]
    assert "litigation" in delete(url_of(server, ds), 409)
    hold(server, ds, until=moment(1))  # in its place
    deadline = time.monotonic() + 30
    while requests.get(hold_url(server, ds), timeout=60).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert ds.StudyInstanceUID not in studies_held(server)
    delete(url_of(server, ds, "study"), 204)


def test_CAP_05_only_a_study_that_is_there_is_held_and_only_by_what_is_understood(server):
    ds = make()
    hold(server, ds, 404)
    store(server, ds)
    url = hold_url(server, ds)
    for body in (b"", b"[]", b"{}", b'{"reason": ""}', b'{"reason": 1}', b'{"reason": "a\\nb"}', b'{"reason": "a", "untill": "2100-01-01T00:00:00Z"}',
                 b'{"reason": "a", "until": "2100-01-01"}', b'{"reason": "a", "until": "2020-01-01T00:00:00Z"}', b'{"reason": "a", "until": 5}',
                 b'{"reason": "' + b"a" * 201 + b'"}', b'{"reason": {"a": "b"}}', b'[{"reason": "a"}, {"reason": "b"}]', b'{"reason": "\xff"}',
                 b'{"reason": "\\ud800"}', b'{"reason": "\\udc00\\ud800"}', b'{"reason": "\\ud800\\u0041"}', b'{"reason": "\\u0007"}',
                 b"x" * 100_000):
        answer = requests.put(url, data=body, headers={"Content-Type": "application/json"}, timeout=60)
        assert answer.status_code in (400, 413), (body[:60], answer.status_code)
    assert requests.put(url, data=b'{"reason": "a"}', headers={"Content-Type": "text/plain"}, timeout=60).status_code == 415
    assert requests.get(url, timeout=60).status_code == 404
    assert requests.put(server.dicomweb + "/studies/1..2/hold", json={"reason": "a"}, timeout=60).status_code == 400
    assert requests.get(server.dicomweb + "/holds?limit=x", timeout=60).status_code == 400
    assert requests.get(server.dicomweb + "/holds?after=..", timeout=60).status_code == 400
    delete(url_of(server, ds, "study"), 204)
    hold(server, ds, 410)


def test_CAP_05_holds_are_listed_page_by_page(start_server):
    server = start_server()
    datasets = sorted((make() for _ in range(5)), key=lambda ds: ds.StudyInstanceUID)
    store(server, *datasets)
    for ds in datasets:
        hold(server, ds, reason="Straße 𝄞 \"1\"")
    seen, page = [], get(server.dicomweb + "/holds", limit=2).json()
    while page:
        assert len(page) <= 2 and all(one["reason"] == "Straße 𝄞 \"1\"" for one in page) and len(seen) < 10
        seen += [one["study"] for one in page]
        page = get(server.dicomweb + "/holds", limit=2, after=seen[-1]).json()
    assert seen == [ds.StudyInstanceUID for ds in datasets]


def test_CAP_05_setting_and_lifting_need_the_right_and_all_of_it_is_audited(start_server, tmp_path):
    users = tmp_path / "users.json"
    users.write_text(json.dumps({"users": [
        {"name": name, "rights": rights, "tokenSha256": hashlib.sha256(name.encode()).hexdigest()}
        for name, rights in (("nurse", ["read", "write", "delete"]), ("counsel", ["read", "admin"]))]}))
    server = start_server({"http": {"usersFile": str(users)}, "log": "warn"})
    nurse, counsel = ({"Authorization": f"Bearer {name}"} for name in ("nurse", "counsel"))
    ds = make()
    answer = requests.post(server.dicomweb + "/studies", data=part10(ds), headers={**nurse, **JSON, "Content-Type": "application/dicom"}, timeout=60)
    assert answer.status_code == 200
    hold(server, ds, 403, nurse)
    hold(server, ds, 401)
    assert hold(server, ds, 200, counsel, reason="of Jane Doe").json()["user"] == "counsel"
    assert "of Jane Doe" in delete(url_of(server, ds), 409, nurse)
    delete(hold_url(server, ds), 403, nurse)
    assert requests.get(hold_url(server, ds), headers=nurse, timeout=60).status_code == 200
    delete(hold_url(server, ds), 204, counsel)
    delete(url_of(server, ds), 204, nurse)
    audited = [line for line in server.log().splitlines() if "audit:" in line and ds.StudyInstanceUID in line]
    for event, outcome, user, words in (("110103", 0, "counsel", "hold set"), ("110105", 4, "nurse", "held"), ("110103", 0, "counsel", "lifted"),
                                        ("110105", 0, "nurse", "deleted")):
        assert any(f"event={event} " in line and f"outcome={outcome} " in line and f'user="{user}"' in line and words in line
                   for line in audited), (event, words, audited)
    assert "Jane" not in server.log()


def test_CAP_05_a_hold_survives_a_crash_and_an_index_that_is_made_anew(start_server):
    server = start_server()
    kept, lifted = make(), make()
    store(server, kept, lifted)
    hold(server, kept, until=moment(3600))
    hold(server, lifted)
    delete(hold_url(server, lifted), 204)
    before = get(hold_url(server, kept)).json()
    server.kill()
    server.start()
    assert get(hold_url(server, kept)).json() == before
    server.stop()
    done = subprocess.run([BINARY, "rebuild", "--data", server.data_dir, "--quiet"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    server.start()
    assert get(hold_url(server, kept)).json() == before
    assert studies_held(server) == [kept.StudyInstanceUID]
    delete(url_of(server, kept, "study"), 409)
    delete(url_of(server, lifted, "study"), 204)


def test_CAP_05_backup_and_restore_keep_holds(start_server, tmp_path):
    server = start_server()
    ds = make()
    store(server, ds)
    before = hold(server, ds).json()
    for arguments in (["backup", tmp_path / "backup", "--data", server.data_dir], ["restore", tmp_path / "backup", "--data", tmp_path / "restored"]):
        done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    other = start_server({"data": {"directory": str(tmp_path / "restored")}})
    assert get(hold_url(other, ds)).json() == before
    delete(url_of(other, ds), 409)


def test_CAP_05_what_is_held_is_not_replaced_either(start_server):
    server = start_server({"store": {"onConflict": "replace"}})
    ds = make(ImageComments="first")
    store(server, ds)
    ds.ImageComments = "second"
    store(server, ds)
    hold(server, ds)
    ds.ImageComments = "third"
    report = store(server, ds, expected=409)
    assert report["00081198"]["Value"][0]["00081197"]["Value"] == [0x0111]
    assert get(url_of(server, ds) + "/metadata").json()[0]["00204000"]["Value"] == ["second"]
    delete(hold_url(server, ds), 204)
    store(server, ds)
    assert get(url_of(server, ds) + "/metadata").json()[0]["00204000"]["Value"] == ["third"]


def test_CAP_05_between_setting_and_deleting_there_is_no_gap(server):
    """Whoever comes first: either the hold is set and the study there, or it is gone and the hold refused."""
    for _ in range(20):
        ds = make()
        store(server, ds)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            holding = pool.submit(requests.put, hold_url(server, ds), json={"reason": "race"}, timeout=60)
            deleting = pool.submit(requests.delete, url_of(server, ds, "study"), timeout=60)
            outcome = holding.result(60).status_code, deleting.result(60).status_code
        assert outcome in ((200, 409), (410, 204)), outcome
        assert requests.get(url_of(server, ds) + "/metadata", timeout=60).status_code == (200 if outcome[0] == 200 else 410)


@pytest.mark.parametrize("at", range(3))
def test_CAP_05_many_set_and_lift_holds_at_once(server, at):
    del at
    datasets = [make() for _ in range(8)]
    store(server, *datasets)

    def work(ds):
        for _ in range(5):
            hold(server, ds, reason=new_uid())
            delete(url_of(server, ds), 409)
            delete(hold_url(server, ds), 204)
        hold(server, ds)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, datasets))
    held = studies_held(server)
    assert all(ds.StudyInstanceUID in held for ds in datasets)
    for ds in datasets:
        delete(hold_url(server, ds), 204)


@pytest.mark.skipif(b"HOUNSFIELD_FAULT" not in BINARY.read_bytes(), reason="a build with fault points is needed")
def test_CAP_05_a_crash_between_the_index_and_its_copy_loses_no_hold(start_server):
    server = start_server(env={"HOUNSFIELD_FAULT": "hold_committed:1"})
    ds = make()
    store(server, ds)
    with pytest.raises(requests.ConnectionError):
        hold(server, ds)
    server.process.wait(60)
    server.env.pop("HOUNSFIELD_FAULT")
    assert not (server.data_dir / "HOLDS").exists()
    server.start()  # which writes it
    assert get(hold_url(server, ds)).json()["reason"] == "litigation 4711"
    server.stop()
    done = subprocess.run([BINARY, "rebuild", "--data", server.data_dir, "--quiet"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    server.start()
    delete(url_of(server, ds), 409)
