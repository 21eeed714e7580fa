# SPDX-License-Identifier: MIT
"""The index is lost, and made anew from the images: every answer is what it was before."""
import json
import os
import pathlib
import shutil
import subprocess

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE

from conftest import BINARY, BUILD
from web import JSON, MULTIPART_DICOM, get, make, part10, parts_of, store, url_of, value

FIND = "1.2.840.10008.5.1.4.1.2.2.1"  # Study Root


def pages(url):
    """All matches of a query, a page at a time."""
    found, offset = [], 0
    while True:
        answer = requests.get(url, params={"includefield": "all", "limit": 100, "offset": offset}, headers=JSON, timeout=60)
        if answer.status_code == 204:
            return found
        assert answer.status_code == 200, answer.text[:500]
        found += answer.json()
        offset += len(answer.json())


def find(daemon, level, **keys):
    """Answers to a C-FIND, as bytes."""
    query = Dataset()
    query.QueryRetrieveLevel = level
    for keyword in ("StudyInstanceUID", "StudyDate", "PatientName", "PatientID", "ModalitiesInStudy", "StudyDescription",
                    "NumberOfStudyRelatedInstances"):
        setattr(query, keyword, keys.get(keyword, ""))
    if level != "STUDY":
        for keyword in ("SeriesInstanceUID", "SeriesNumber", "Modality"):
            setattr(query, keyword, keys.get(keyword, ""))
    ae = AE()
    ae.add_requested_context(FIND)
    association = ae.associate("127.0.0.1", daemon.dimse_port, ae_title=daemon.ae_title)
    assert association.is_established
    answers = []
    for status, answer in association.send_c_find(query, FIND):
        assert status.Status in (0x0000, 0xFF00, 0xFF01), hex(status.Status)
        if answer is not None:
            answers.append(answer.to_json())
    association.release()
    return answers


def everything(daemon):
    """What the archive answers to whom asks for all of it."""
    studies = pages(f"{daemon.dicomweb}/studies")
    answers = {"studies": studies, "series": pages(f"{daemon.dicomweb}/series")}
    answers["instances"] = pages(f"{daemon.dicomweb}/instances")
    answers["C-FIND studies"] = find(daemon, "STUDY")
    for study in (value(s, "0020000D") for s in studies):
        url = f"{daemon.dicomweb}/studies/{study}"
        answers[f"metadata of {study}"] = get(f"{url}/metadata", "application/dicom+json").content
        retrieved = get(url, f"{MULTIPART_DICOM}; transfer-syntax=*")
        answers[f"files of {study}"] = [content for _, content in parts_of(retrieved)]
        answers[f"C-FIND series of {study}"] = find(daemon, "SERIES", StudyInstanceUID=study)
    return answers


def changes(daemon, after=0):
    answer = requests.get(f"{daemon.dicomweb}/changefeed", params={"offset": after, "limit": 1000}, timeout=30)
    return answer.json() if answer.status_code == 200 else []


def rebuild(daemon, *flags):
    done = subprocess.run([str(BINARY), "rebuild", "--data", str(daemon.data_dir), "--quiet", *flags],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_same(before, after):
    assert before.keys() == after.keys()
    for what in before:
        assert before[what] == after[what], what


@pytest.fixture
def filled(start_server, sample_data):
    """Sample studies, an instance with a name in three scripts, one that was deleted, one sent twice."""
    daemon = start_server()
    files = sorted(p for p in pathlib.Path(sample_data).rglob("*") if p.is_file() and p.read_bytes()[128:132] == b"DICM")
    assert len(files) > 20
    for i in range(0, len(files), 20):
        store(daemon, *[p.read_bytes() for p in files[i : i + 20]])
    named = make(SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう")
    gone = make(study=generate_uid())
    store(daemon, named, gone)
    store(daemon, part10(named))
    assert requests.delete(url_of(daemon, gone, "study"), timeout=30).status_code in (200, 204)
    return daemon


def test_HOS_49_a_lost_index_is_made_anew_and_every_answer_is_as_before(filled):
    before = everything(filled)
    numbers = [c["sequence"] for c in changes(filled)]
    filled.stop()
    shutil.rmtree(filled.data_dir / "index")

    refused = subprocess.run([str(BINARY), "serve", "--config", str(filled.folder / "hounsfield.json")],
                             capture_output=True, text=True, timeout=30)
    assert refused.returncode != 0
    assert "hounsfield rebuild" in refused.stderr

    rebuild(filled, "--dry-run")
    assert not list(filled.data_dir.glob("index*")), "a dry run makes no index"
    rebuild(filled)
    filled.start()
    check_same(before, everything(filled))

    # Who follows the feed from where it was misses nothing: all there is comes again, under higher numbers.
    again = changes(filled, after=max(numbers))
    assert {c["sopInstanceUid"] for c in again} == {value(i, "00080018") for i in before["instances"]}
    assert {c["action"] for c in again} == {"create"}
    assert max(numbers) < min(c["sequence"] for c in again) < 2**53
    new = make()
    store(filled, new)
    assert changes(filled, after=again[-1]["sequence"])[-1]["sopInstanceUid"] == new.SOPInstanceUID


def run(*arguments):
    done = subprocess.run([str(BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_HOS_49_a_rebuild_without_an_index_says_that_the_worklist_is_gone_and_takes_that_of_a_backup(start_server, tmp_path):
    daemon = start_server()
    image = make()
    store(daemon, image)
    step = {"00080060": {"vr": "CS", "Value": ["CT"]}, "00400001": {"vr": "AE", "Value": ["CT1"]},
            "00400002": {"vr": "DA", "Value": ["20300101"]}}
    entry = {"00080050": {"vr": "SH", "Value": ["ACC1"]}, "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
             "00100020": {"vr": "LO", "Value": ["P1"]}, "00400100": {"vr": "SQ", "Value": [step]}}
    made = requests.post(daemon.dicomweb + "/worklist", data=json.dumps([entry]), timeout=30,
                         headers={"Content-Type": "application/dicom+json"})
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    run("backup", tmp_path / "copy", "--data", daemon.data_dir)
    later = make()  # which the backup has not
    store(daemon, later)
    daemon.stop()
    kept = run("rebuild", "--data", daemon.data_dir)
    assert "backup" not in kept, "the old index could be read"
    for old in daemon.data_dir.glob("index.old-*"):
        shutil.rmtree(old)

    shutil.rmtree(daemon.data_dir / "index")
    said = run("rebuild", "--data", daemon.data_dir)
    assert "worklist" in said and "is gone" in said and "backup" in said, said
    daemon.start()
    assert requests.get(f"{daemon.dicomweb}/worklist/{key}", timeout=30).status_code == 404
    daemon.stop()

    run("restore", tmp_path / "copy", "--data", tmp_path / "restored")
    shutil.rmtree(daemon.data_dir / "index")
    (tmp_path / "restored" / "index").rename(daemon.data_dir / "index")
    assert "backup" not in run("rebuild", "--data", daemon.data_dir)
    daemon.start()
    assert requests.get(f"{daemon.dicomweb}/worklist/{key}", timeout=30).status_code == 200
    for one in (image, later):
        assert get(url_of(daemon, one), "application/dicom; transfer-syntax=*").status_code == 200
    daemon.stop()
    assert json.loads(run("verify", "--json", "--data", daemon.data_dir))["result"]["worklistObjects"] == 2


def test_HOS_49_a_rebuild_that_was_interrupted_can_be_begun_anew(filled):
    before = everything(filled)
    filled.stop()
    (filled.data_dir / "index").rename(filled.data_dir / "index.new")
    refused = subprocess.run([str(BINARY), "serve", "--config", str(filled.folder / "hounsfield.json")],
                             capture_output=True, text=True, timeout=30)
    assert refused.returncode != 0
    assert "hounsfield rebuild" in refused.stderr and "did not come to its end" in refused.stderr
    rebuild(filled)
    filled.start()
    check_same(before, everything(filled))


def test_HOS_49_no_index_is_made_anew_under_a_running_server(start_server):
    daemon = start_server()
    done = subprocess.run([str(BINARY), "rebuild", "--data", str(daemon.data_dir), "--quiet"], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 1
    assert not list(daemon.data_dir.glob("index.*"))
    store(daemon, make())


@pytest.mark.skipif(b"HOUNSFIELD_FAULT" not in BINARY.read_bytes(), reason="a build with fault points is needed")
def test_HOS_49_a_store_that_a_crash_cut_off_does_not_bring_back_what_was_deleted_later(start_server):
    daemon = start_server(env={"HOUNSFIELD_FAULT": "after-segment-sync:1"})
    deleted, kept = make(), make()
    with pytest.raises(requests.ConnectionError):
        store(daemon, deleted)  # its record is whole, and no index knows of it
    daemon.process.wait(60)
    daemon.env.pop("HOUNSFIELD_FAULT")
    daemon.start()
    store(daemon, deleted)
    store(daemon, kept)
    assert requests.delete(url_of(daemon, deleted, "study"), timeout=30).status_code in (200, 204)
    daemon.stop()
    rebuild(daemon)
    daemon.start()
    assert {value(i, "00080018") for i in pages(f"{daemon.dicomweb}/instances")} == {kept.SOPInstanceUID}
    assert requests.get(url_of(daemon, deleted), timeout=30).status_code == 410
    store(daemon, deleted)  # which is allowed
    assert len(pages(f"{daemon.dicomweb}/instances")) == 2


def rebuild_on_failing_disk(daemon, after):
    """What it tells, and whether it met the error: the read of a segment that comes after so many fails with EIO."""
    rules = daemon.folder / "disk"
    acts = rules.with_name("disk.acts")
    rules.write_text(f"read segments/ EIO {after} 1\n")
    acts.unlink(missing_ok=True)
    asan = ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "verify_asan_link_order=0")))
    env = {"LD_PRELOAD": str(BUILD / "tests" / "faulty_disk.so"), "FAULTY_DISK": str(rules), "ASAN_OPTIONS": asan}
    done = subprocess.run([str(BINARY), "rebuild", "--data", str(daemon.data_dir), "--quiet", "--json"],
                          env={**os.environ, **env}, capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 3), (done.stdout, done.stderr)
    return json.loads(done.stdout)["result"], acts.exists()


@pytest.mark.slow
def test_HOS_49_a_bad_sector_costs_a_rebuild_no_more_than_the_instance_on_it(start_server):
    daemon = start_server()
    stored = [make() for _ in range(4)]
    store(daemon, *stored)
    daemon.stop()
    after, acted, lost = 0, True, 0
    while acted:  # every read once
        result, acted = rebuild_on_failing_disk(daemon, after)
        assert result["instances"] >= len(stored) - 1, (after, result)
        lost += result["instances"] < len(stored)
        after += 1
    assert lost and after > 2 * len(stored)
    # What the last one but one could not read is there again, and what comes later does not stand upon it.
    for _ in range(2):
        rebuild_on_failing_disk(daemon, 1)
        daemon.start()
        store(daemon, make())
        stored.append(None)
        daemon.stop()
    rebuild(daemon)
    daemon.start()
    assert len(pages(f"{daemon.dicomweb}/instances")) == len(stored)
