# SPDX-License-Identifier: MIT
"""Orders that a real FHIR server holds become entries of the worklist: ServiceRequest, Patient, Appointment."""
import contextlib
import datetime
import http.server
import json
import threading
import time
import urllib.parse

import fhir_proxy
import pytest
import requests
from fhir_proxy import Proxy
from pynetdicom import AE
from pynetdicom.sop_class import ModalityWorklistInformationFind
from web import new_uid

from pydicom.dataset import Dataset

DCM = "http://dicom.nema.org/resources/ontology/DCM"


def worklist(server, **keys):
    """What a console finds, by Accession Number."""
    query, step = Dataset(), Dataset()
    for keyword in ("Modality", "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime", "ScheduledStationAETitle"):
        setattr(step, keyword, "")
    for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "AccessionNumber", "StudyInstanceUID",
                    "RequestedProcedureDescription"):
        setattr(query, keyword, keys.get(keyword, ""))
    query.ScheduledProcedureStepSequence = [step]
    ae = AE(ae_title="CONSOLE")
    ae.add_requested_context(ModalityWorklistInformationFind)
    assoc = ae.associate("127.0.0.1", server.dimse_port, ae_title=server.ae_title)
    assert assoc.is_established
    try:
        return [ds for status, ds in assoc.send_c_find(query, ModalityWorklistInformationFind) if status.Status in (0xFF00, 0xFF01)]
    finally:
        assoc.release()


def wait_for(what, timeout=30):
    deadline = time.monotonic() + timeout
    while not (result := what()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)
    return result


class Ward:
    """Who orders at the FHIR server."""

    def __init__(self, fhir):
        self.fhir = fhir
        self.number = new_uid()[-10:]

    def put(self, kind, body):
        answer = requests.put(f"{self.fhir}/{kind}/{kind.lower()}-{self.number}", timeout=60,
                              json={"resourceType": kind, "id": f"{kind.lower()}-{self.number}", **body})
        assert answer.status_code in (200, 201), answer.text

    def patient(self, family="Orderly"):
        self.put("Patient", {"identifier": [{"system": "http://ward.example/mrn", "value": self.number}],
                             "name": [{"family": family, "given": ["Olga"]}], "birthDate": "1980-02-03", "gender": "female"})

    def order(self, **more):
        self.put("ServiceRequest", {
            "status": "active", "intent": "order", "subject": {"reference": f"Patient/patient-{self.number}"},
            "identifier": [{"type": {"coding": [{"code": "ACSN"}]}, "value": "A" + self.number},
                           {"type": {"coding": [{"code": "PLAC"}]}, "value": "P" + self.number}],
            "code": {"text": "CT head"}, "orderDetail": [{"coding": [{"system": DCM, "code": "CT"}]}],
            "occurrenceDateTime": "2031-05-06T07:08:00+01:00", **more})

    def appointment(self, start):
        self.put("Appointment", {"status": "booked", "start": start, "end": start.replace(":00Z", ":30Z"),
                                 "basedOn": [{"reference": f"ServiceRequest/servicerequest-{self.number}"}],
                                 "participant": [{"actor": {"reference": f"Patient/patient-{self.number}"}, "status": "accepted"}]})


@pytest.fixture
def proxy(fhir):
    proxy = Proxy(fhir)
    yield proxy
    proxy.close()


@pytest.fixture
def ordering(start_server, proxy):
    return start_server({"fhir": {"url": proxy.url, "orders": {"everySeconds": 0.3, "issuers": ["http://ward.example/mrn=WARD"]}}})


def test_an_order_at_the_fhir_server_is_planned_changed_and_revoked(ordering, fhir):
    ward = Ward(fhir)
    ward.patient()
    ward.order()
    found = wait_for(lambda: worklist(ordering, AccessionNumber="A" + ward.number))
    assert len(found) == 1
    step = found[0].ScheduledProcedureStepSequence[0]
    assert (str(found[0].PatientName), found[0].PatientID, found[0].IssuerOfPatientID) == ("Orderly^Olga", ward.number, "WARD")
    assert (step.Modality, step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime[:6]) == ("CT", "20310506", "070800")
    study = found[0].StudyInstanceUID
    ward.appointment("2031-06-07T10:15:00Z")
    changed = wait_for(lambda: [ds for ds in worklist(ordering, AccessionNumber="A" + ward.number)
                                if ds.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate == "20310607"])
    assert len(changed) == 1 and changed[0].StudyInstanceUID == study
    ordering.restart()
    assert len(worklist(ordering, AccessionNumber="A" + ward.number)) == 1
    ward.order(status="revoked")
    wait_for(lambda: not worklist(ordering, AccessionNumber="A" + ward.number))
    assert "Orderly" not in ordering.log() and ward.number not in ordering.log().replace("servicerequest-" + ward.number, "")


def test_what_is_no_imaging_and_what_cannot_be_an_entry_is_left_out_and_others_come(ordering, fhir):
    lab, bad, good = Ward(fhir), Ward(fhir), Ward(fhir)
    for ward in (lab, bad, good):
        ward.patient()
    lab.order(orderDetail=[], code={"text": "Sodium"})
    bad.order(identifier=[{"type": {"coding": [{"code": "ACSN"}]}, "value": "A" * 17}])
    good.order()
    wait_for(lambda: worklist(ordering, AccessionNumber="A" + good.number))
    assert not worklist(ordering, AccessionNumber="A" + lab.number)
    wait_for(lambda: "left out: the accession number" in ordering.log())


def test_orders_wait_for_a_fhir_server_that_is_away(ordering, proxy, fhir):
    ward = Ward(fhir)
    proxy.fault(fhir_proxy.answer(503), times=5)
    wait_for(lambda: "orders: not read" in ordering.log())
    ward.patient()
    ward.order()
    wait_for(lambda: worklist(ordering, AccessionNumber="A" + ward.number))


def posted(family="Postma", **more):
    number = new_uid()[-10:]
    return number, {
        "resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": {"reference": "#p"},
        "contained": [{"resourceType": "Patient", "id": "p", "identifier": [{"value": number}], "name": [{"family": family}]}],
        "identifier": [{"type": {"coding": [{"code": "ACSN"}]}, "value": "A" + number}],
        "orderDetail": [{"coding": [{"system": DCM, "code": "MR"}]}], **more}


def post(server, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return requests.post(server.fhir_view + "/ServiceRequest", data=data, headers={"Content-Type": "application/fhir+json"}, timeout=30)


def test_an_order_that_is_posted_is_planned_once_and_revoked(server):
    number, order = posted()
    first = post(server, order)
    assert first.status_code == 201 and first.json()["resourceType"] == "OperationOutcome", first.text
    assert post(server, order).status_code == 200
    found = worklist(server, AccessionNumber="A" + number)
    assert len(found) == 1 and found[0].StudyInstanceUID in first.json()["issue"][0]["diagnostics"]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": [
        {"resource": {**order, "contained": [], "subject": {"reference": "Patient/x"}, "occurrenceDateTime": "2032-01-02"}},
        {"resource": {**order["contained"][0], "id": "x"}}]}
    assert post(server, bundle).status_code == 200
    changed = worklist(server, AccessionNumber="A" + number)
    assert [ds.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate for ds in changed] == ["20320102"]
    assert post(server, {**order, "status": "revoked"}).status_code == 200
    assert not worklist(server, AccessionNumber="A" + number)


def test_what_is_posted_and_is_no_order_is_refused_with_the_reason(server):
    _, order = posted()
    without = {k: v for k, v in order.items() if k != "contained"}
    for body, status in ((b"{", 400), (b"[" * 100 + b"]" * 100, 400), ({"resourceType": "Patient"}, 422), (without, 422),
                         ({**order, "status": "draft"}, 422), ({**order, "orderDetail": []}, 422),
                         ({"resourceType": "Bundle", "entry": [{"resource": order}, {"resource": order}]}, 422),
                         (b" " * (1 << 20) + b"{}", 413)):
        answer = post(server, body)
        assert answer.status_code == status, (answer.status_code, answer.text)
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert "Postma" not in answer.text


def test_orders_are_posted_and_nothing_else(server):
    """Who reads or changes one by FHIR is told what there is."""
    number, order = posted()
    assert post(server, order).status_code == 201
    for path in ("ServiceRequest", f"ServiceRequest?identifier=A{number}", "ServiceRequest/1"):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answer = requests.request(method, f"{server.fhir_view}/{path}", data=b"{}", timeout=30,
                                      headers={"Content-Type": "application/fhir+json"})
            assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
            assert answer.json()["resourceType"] == "OperationOutcome"
            assert answer.json()["issue"][0]["code"] == "not-supported" and "posted" in answer.json()["issue"][0]["diagnostics"]
    assert len(worklist(server, AccessionNumber="A" + number)) == 1


def test_an_order_of_a_clock_that_is_far_ahead_can_be_revoked_all_the_same(server):
    number, body = posted()
    post(server, {**body, "meta": {"lastUpdated": "2999-01-01T00:00:00Z"}})
    assert len(worklist(server, AccessionNumber="A" + number)) == 1
    post(server, {**body, "status": "revoked"})
    assert not worklist(server, AccessionNumber="A" + number)


@contextlib.contextmanager
def ordering_system(orders):
    """A FHIR server of our own, whose times are as we like: the address, and what was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            since = urllib.parse.parse_qs(url.query).get("_lastUpdated", ["ge"])[0][2:]
            is_search = url.path.endswith("/ServiceRequest")
            if is_search:
                asked.append(since)
            found = [o for o in orders if is_search and o["meta"]["lastUpdated"] >= since]
            body = json.dumps({"resourceType": "Bundle", "entry": [{"resource": o} for o in found]}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/fhir+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as system:
        threading.Thread(target=system.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{system.server_port}/fhir", asked
        finally:
            system.shutdown()


def test_one_order_of_a_clock_that_is_far_ahead_does_not_hide_those_that_come(start_server):
    (first, ahead), (second, later) = posted(), posted()
    orders = [{**ahead, "id": "ahead", "meta": {"lastUpdated": "2999-01-01T00:00:00Z"}}]
    with ordering_system(orders) as (url, asked):
        server = start_server({"fhir": {"url": url, "orders": {"everySeconds": 0.2}}})
        wait_for(lambda: worklist(server, AccessionNumber="A" + first))
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        orders.append({**later, "id": "later", "meta": {"lastUpdated": now}})
        wait_for(lambda: worklist(server, AccessionNumber="A" + second))
        wait_for(lambda: now in asked)
        server.stop()


def test_more_orders_of_one_moment_than_a_page_holds_all_come(ordering, fhir):
    """One transaction: all of them have the same time; the proxy stands between us and the server's own links."""
    ward = Ward(fhir)
    ward.patient()
    entries = [{"resource": {"resourceType": "ServiceRequest", "status": "active", "intent": "order",
                             "subject": {"reference": f"Patient/patient-{ward.number}"},
                             "identifier": [{"type": {"coding": [{"code": "ACSN"}]}, "value": f"{ward.number}-{n}"}],
                             "orderDetail": [{"coding": [{"system": DCM, "code": "CT"}]}]},
                "request": {"method": "POST", "url": "ServiceRequest"}} for n in range(120)]
    answer = requests.post(fhir, json={"resourceType": "Bundle", "type": "transaction", "entry": entries}, timeout=60)
    assert answer.status_code == 200, answer.text
    wait_for(lambda: len(worklist(ordering, PatientID=ward.number)) == 120)
