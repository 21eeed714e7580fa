# SPDX-License-Identifier: MIT
"""The conformance statement says what the server negotiates, no more and no less."""
import re
import subprocess

from pydicom._uid_dict import UID_dictionary

from conftest import ROOT
from upper_layer import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, JPEG, Association, role, user_information
from web import new_uid

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
    assert len(SERVICES) == 15 and len(STORAGE) > 150


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
    assert granted == {CT, "1.2.840.10008.1.20.1"}
    assert "the SCP role is granted to storage classes and Storage Commitment" in TEXT


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
