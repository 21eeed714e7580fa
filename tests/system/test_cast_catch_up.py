# SPDX-License-Identifier: MIT
"""How fast the cast catches up with an archive that a FHIR server has never seen (FHIR-09): a figure, and nothing lost."""
import os
import time

import pytest
import requests
from bounds import until
from test_cast import FRESH, metric
from web import make, store

STUDIES = int(os.environ.get("HOUNSFIELD_CATCH_UP", "1000"))


def processor_seconds(server):
    with open(f"/proc/{server.process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.long
@pytest.mark.parametrize("at_once", [1, 4, 8])
def test_FHIR_09_an_archive_is_cast_anew(start_server, fhir, at_once):
    title = f"CATCHUP{at_once}"
    server = start_server(settings={"dimse": {"aeTitle": title}, "fhir": {"quietSeconds": 0, "studiesAtOnce": at_once}})
    stored = [make() for _ in range(STUDIES)]
    for i in range(0, STUDIES, 50):
        store(server, *stored[i : i + 50])
    server.settings["fhir"]["url"] = fhir
    server.settings["log"] = "warn"
    server.stop()
    began = time.monotonic()
    server.start()
    until(lambda: not metric(server, "cast_lag"), "all studies", 60 + STUDIES, 0.1)
    took, processor = time.monotonic() - began, processor_seconds(server)
    print(f"\n{STUDIES} studies, {at_once} at once: {STUDIES / took:.1f} studies/s, {1000 * processor / STUDIES:.2f} ms of our processor time a study")
    assert metric(server, "cast_studies") == STUDIES and metric(server, "cast_parked") == 0
    for ds in stored[:: max(1, STUDIES // 50)]:
        found = requests.get(f"{fhir}/ImagingStudy", params={"identifier": f"urn:dicom:uid|urn:oid:{ds.StudyInstanceUID}"}, headers=FRESH, timeout=60)
        assert found.json()["total"] == 1
