# SPDX-License-Identifier: MIT
"""The conformance statement says what the server negotiates, no more and no less."""
import hashlib
import json
import re
import signal
import subprocess

import requests
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import RLELossless

from bounds import until
from conftest import ROOT
from upper_layer import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, JPEG, Association, role, user_information
from web import get, make, new_uid, part10, store, url_of

TEXT = (ROOT / "docs" / "dicom-conformance.md").read_text()


def table(heading):
    """The rows of the first table behind a text, as lists of cells."""
    rows = []
    for line in TEXT[TEXT.index(heading):].splitlines()[1:]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


SERVICES = {row[1]: row for row in table("Network services.") if row[1]}
SYNTAXES = [row[1] for row in table("Transfer syntaxes of the services")]
STORAGE = {row[1] for row in table("## Annex: storage SOP classes")}


def negotiate(server, proposals, user=None):
    """{(abstract syntax, index of the proposal): (result, transfer syntax)}, over as many associations as it takes."""
    found = {}
    for start in range(0, len(proposals), 128):
        part = proposals[start:start + 128]
        contexts = [(2 * at + 1, abstract, syntaxes) for at, (abstract, syntaxes) in enumerate(part)]
        association = Association(server, contexts, **({"user": user} if user else {}))
        for at, (abstract, _) in enumerate(part):
            result, syntax = association.accepted.contexts[2 * at + 1]
            found[abstract, start + at] = (result, syntax[0])
        association.release()
    return found


def test_ASC_07_the_document_lists_the_sop_classes_that_are_accepted(server):
    known = [uid for uid, (_, kind, *_) in UID_dictionary.items() if kind in ("SOP Class", "Meta SOP Class")]
    proposals = [(uid, [EXPLICIT, IMPLICIT]) for uid in sorted({*known, *SERVICES, *STORAGE})]
    accepted = {uid for (uid, _), (result, _) in negotiate(server, proposals).items() if result == 0}
    unknown_to_us = {uid for uid in accepted - STORAGE - set(SERVICES)}
    # a class that is younger than our tables is taken for storage, as the annex says
    assert all("Storage" in UID_dictionary[uid][0] for uid in unknown_to_us), unknown_to_us
    assert {*SERVICES, *STORAGE} <= accepted
    assert len(SERVICES) == 23 and len(STORAGE) > 150


def test_ASC_08_the_document_lists_the_transfer_syntaxes_of_each_service(server):
    others = [BIG_ENDIAN, DEFLATED, JPEG, "1.2.840.10008.1.2.5", new_uid()]
    assert SYNTAXES == [EXPLICIT, IMPLICIT]
    proposals = [(uid, [syntax]) for uid in SERVICES for syntax in SYNTAXES + others]
    for at, (uid, (syntax,)) in enumerate(proposals):
        proposals[at] = (uid, [syntax])
    for (uid, at), (result, syntax) in negotiate(server, proposals).items():
        wanted = proposals[at][1][0]
        assert result == (0 if wanted in SYNTAXES else 4), (uid, wanted)
    # the preferred one is taken, in whatever order
    for (uid, _), (result, syntax) in negotiate(server, [(uid, SYNTAXES[::-1]) for uid in SERVICES]).items():
        assert (result, syntax) == (0, SYNTAXES[0]), uid
    # storage: everything
    kinds = [uid for uid, (name, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax" and "Papyrus" not in name]
    found = negotiate(server, [(CT, [syntax]) for syntax in kinds + [new_uid()]])
    assert all(result == 0 for result, _ in found.values())


def test_ASC_16_the_document_tells_the_roles(server):
    user = user_information(extra=b"".join(role(uid, 1, 1) for uid in [*SERVICES, CT]))
    contexts = [(2 * at + 1, uid, [EXPLICIT]) for at, uid in enumerate([*SERVICES, CT])]
    association = Association(server, contexts, user=user)
    granted = set()
    for content in association.accepted.sub_items(0x54):
        uid, scu, scp = content[2:-2].decode(), content[-2], content[-1]
        assert scu == 1
        if scp:
            granted.add(uid)
    association.release()
    assert granted == {CT, "1.2.840.10008.1.20.1", "1.2.840.10008.5.1.4.34.6.4"}
    assert "the SCP role is granted to storage classes, Storage Commitment and UPS Event" in TEXT


def test_ASC_01_the_document_names_the_implementation_and_the_limits(server):
    association = Association(server)
    (uid,), (name,), (length,) = (association.accepted.sub_items(kind) for kind in (0x52, 0x55, 0x51))
    association.release()
    assert f"class UID {uid.decode()}, version name {name.decode().strip()}" in TEXT
    assert f"we take {int.from_bytes(length, 'big'):,} bytes" in TEXT


def test_settings_that_the_document_names_exist():
    import subprocess
    from conftest import BINARY
    settings = subprocess.run([BINARY, "settings"], capture_output=True, text=True, check=True, timeout=60).stdout
    for name in set(re.findall(r"\[`(\w+)`", TEXT)):
        assert f'"{name}":' in settings, name


def test_the_items_that_are_said_to_be_tested_are():
    done = subprocess.run([ROOT / "tests" / "conformance_counts", "--check"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


# --- the one that a server writes of itself ---


def statement_of(server):
    answer = requests.get(server.url + "/conformance", timeout=60)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "text/markdown; charset=utf-8"
    return answer.text


def rows_of(text, heading):
    rows = []
    for line in text[text.index(heading):].splitlines()[1:]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def test_CAP_02_the_statement_is_what_is_negotiated(server):
    text = statement_of(server)
    services = {row[1] for row in rows_of(text, "Network services:")}
    storage = {row[1] for row in rows_of(text, "Storage, C-STORE")}
    assert services == set(SERVICES) and STORAGE <= storage
    known = [uid for uid, (_, kind, *_) in UID_dictionary.items() if kind in ("SOP Class", "Meta SOP Class")]
    answers = {uid: result for (uid, _), (result, _) in
               negotiate(server, [(uid, [EXPLICIT, IMPLICIT]) for uid in sorted({*known, *services, *storage})]).items()}
    assert {uid for uid in services | storage if answers[uid] != 0} == set()
    younger = {uid for uid, result in answers.items() if result == 0} - services - storage
    assert all("Storage" in UID_dictionary[uid][0] for uid in younger), younger
    syntaxes = {row[1]: row for row in rows_of(text, "## 3 Transfer syntaxes")}
    assert {EXPLICIT, IMPLICIT, JPEG, DEFLATED} <= set(syntaxes)
    assert all(result == 0 for result, _ in negotiate(server, [(CT, [uid]) for uid in syntaxes]).values())
    policies = dict(rows_of(text, "## 2 Association policies"))
    assert policies["AE title"] == server.ae_title and policies["port"] == str(server.dimse_port)
    association = Association(server)
    (length,) = association.accepted.sub_items(0x51)
    association.release()
    assert policies["longest PDU received"] == str(int.from_bytes(length, "big"))


def test_CAP_02_what_it_says_is_decoded_is_decoded(server):
    syntaxes = rows_of(statement_of(server), "## 3 Transfer syntaxes")
    decoded = {uid for _, uid, can, _ in syntaxes if can == "yes"}
    ds = make(Rows=64, Columns=64, BitsAllocated=8, BitsStored=8, HighBit=7)
    native = bytes(ds.PixelData)
    part10(ds)
    ds.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    store(server, part10(ds, RLELossless))
    assert RLELossless in decoded
    assert get(url_of(server, ds) + "/frames/1", "application/octet-stream").content == native


def test_CAP_02_statuses_are_those_that_are_answered(server):
    rows = {row[0]: row[1:] for row in rows_of(statement_of(server), "## 5 Statuses")}
    first = make()
    second = make(study=first.StudyInstanceUID, series=first.SeriesInstanceUID, SOPInstanceUID=first.SOPInstanceUID, Rows=32)
    association = Association(server)
    assert association.store(first)[0x0900] == 0
    assert f"{association.store(second)[0x0900]:04X}" == rows["conflict"][0]
    assert f"{association.store(b'no data set at all', sop_class=CT, sop_instance=new_uid())[0x0900]:04X}" == rows["invalid"][0]
    association.release()


def test_CAP_02_its_resources_are_the_routes_that_there_are(server):
    rows = {(row[0].lower(), row[1].strip("`")): row for row in rows_of(statement_of(server), "## 6 HTTP")}
    document = requests.get(server.url + "/openapi.json", timeout=60).json()
    listed = {(method, path): operation for path, methods in document["paths"].items() for method, operation in methods.items()}
    assert set(rows) == set(listed) and len(rows) > 50
    for key, operation in listed.items():
        given = operation["responses"]["2XX"].get("content", {})
        assert rows[key][3] == ",".join(given), key
        assert rows[key][2] == ",".join(operation.get("requestBody", {}).get("content", {})), key


def test_CAP_02_it_follows_the_settings(start_server, tmp_path):
    server = start_server({"dimse": {"refusedSopClasses": [CT], "aeTitle": "FIRST"}, "dicomweb": {"queryLimit": 77}})
    text = statement_of(server)
    assert CT not in {row[1] for row in rows_of(text, "Storage, C-STORE")} and "at most 77 matches" in text
    port = server.dimse_port
    server.settings["dimse"].update({"refusedSopClasses": [], "aeTitle": "SECOND", "port": 1})
    users = tmp_path / "users.json"
    users.write_text('{"users": [{"name": "a", "rights": ["read"], "tokenSha256": "%s"}]}' % hashlib.sha256(b"t").hexdigest())
    server.settings["http"]["usersFile"] = str(users)
    (server.folder / "hounsfield.json").write_text(json.dumps(server.settings))
    server.process.send_signal(signal.SIGHUP)
    until(lambda: "settings reloaded" in server.log(), "the new settings")
    assert requests.get(server.url + "/conformance", timeout=60).status_code == 401
    text = requests.get(server.url + "/conformance", headers={"Authorization": "Bearer t"}, timeout=60).text
    policies = dict(rows_of(text, "## 2 Association policies"))
    assert policies["AE title"] == "SECOND" and policies["port"] == str(port)  # what is listened on stays
    assert CT in {row[1] for row in rows_of(text, "Storage, C-STORE")} and "must log in" in text
