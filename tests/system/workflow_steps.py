# SPDX-License-Identifier: MIT
"""Steps of the workflows that several tests go through."""
import time

import requests
from pydicom.dataset import Dataset

from mllp import Sender
from test_mpp import ending
from test_mwl import WORKLIST, ask, query
from upper_layer import find, keys


def eventually(condition, what, timeout=30):
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def tell(site, message):
    with Sender(site.hl7_port) as sender:
        answer = sender.send(message)
        assert answer.code == "AA", answer
    return answer


def listed(site, **wanted):
    matches, statuses, _ = ask(site, query(wanted))
    assert statuses[-1] == 0
    return matches


def loop_of(site, accession):
    found = requests.get(site.url + WORKLIST, params={"AccessionNumber": accession, "all": "true"}, timeout=30).json()
    assert len(found) == 1
    return found[0]


def studies(site, **wanted):
    asked = dict.fromkeys(("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber", "NumberOfStudyRelatedInstances"), "")
    found, final = find(site, keys(**{**asked, "QueryRetrieveLevel": "STUDY", **wanted}))
    assert final[0x0900] == 0
    return found


def reference_of(ds):
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    return item


def series_of(images):
    series = ending().PerformedSeriesSequence
    series[0].SeriesInstanceUID = images[0].SeriesInstanceUID
    series[0].ReferencedImageSequence = [reference_of(ds) for ds in images]
    return series
