# SPDX-License-Identifier: MIT
"""What the server says that it offers, and whether that is so."""
import json
import re
import signal
import time
import xml.etree.ElementTree as ElementTree

import pytest
import report
import requests
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG4HP41

from bounds import until
from conftest import ROOT
from test_mpp import ending, performed
from ups import dataset, item
from web import JSON, make, multipart, new_uid, part10, store, url_of

WADL = "{http://wadl.dev.java.net/2009/02}"
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def document(server):
    answer = requests.get(server.url + "/openapi.json", timeout=60)
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    return answer.json()


def operations(document):
    return [(path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()]


def test_the_document_is_OpenAPI_with_unique_ids_and_complete_parameters(server, document):
    assert document["openapi"].startswith("3.0.") and document["servers"] == [{"url": server.url}]
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids) > 30
    for path, method, operation in operations(document):
        assert method in METHODS and operation["summary"]
        named = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert named == re.findall(r"\{(\w+)\}", path)
        assert all(p["required"] for p in operation["parameters"] if p["in"] == "path")
        assert "default" in operation["responses"] and len(operation["responses"]) == 2


def routes_of(source, prefix):
    """The rows of a route table, as the source has them."""
    text = (ROOT / source).read_text()
    macros = dict(re.findall(r"#define (STUDY|SERIES|INSTANCE|WORKITEM) +(.+)", text))
    table = text[text.index("static const struct route routes[]"):]
    table = table[:table.index("\n};")]
    rows = re.findall(r"\.method = (\"\w+\"),\s*\.pattern = ((?:[^,\"]|\"[^\"]*\")+),", table)
    assert len(rows) == table.count(".method")
    for method, pattern in rows:
        while any(name in pattern.split() for name in macros):
            pattern = " ".join(macros.get(word, word) for word in pattern.split())
        yield prefix + "".join(re.findall('"([^"]*)"', pattern)), method.strip('"').lower()


def test_it_lists_every_route_and_no_other(document):
    listed = {(path, method) for path, method, _ in operations(document)}
    routes = {route for source, prefix in (("dicomweb/dicomweb.c", "/dicomweb"), ("server/health.c", ""))
              for route in routes_of(source, prefix)}
    # of FHIR what is there only to refuse is left out
    fhir = {(path, method) for path, method in routes_of("cast/fhir_view.c", "/fhir")
            if (method == "get" or path.endswith("_search")) and "{type}" not in path and path != "/fhir/"}
    own = {("/openapi.json", "get"), ("/conformance", "get"), ("/fhir/ServiceRequest", "post")}
    operations_table = ROOT / "server" / "http_operations.c"
    if operations_table.exists():
        own |= set(routes_of("server/http_operations.c", ""))
    assert listed == routes | fhir | own


GOOD = {
    "limit": "1", "offset": "0", "fuzzymatching": "false", "emptyvaluematching": "false",
    "multiplevaluematching": "false", "timezone": "+0000", "orderby": "PatientID", "includefield": "00081030", "accept": None, "window": "40,400,linear",
    "viewport": "16,16", "quality": "90", "annotation": "patient", "iccprofile": "no", "includeMetadata": "false", "startTime": "2020-01-01T00:00:00Z",
    "endTime": "2100-01-01T00:00:00Z", "action": "create", "all": "true", "study": None, "after": "1.2", "wait": "0", "_format": "json", "attributes": None,
    # of FHIR
    "_pretty": "true", "_summary": "true", "_elements": "identifier", "_count": "2", "_total": "accurate", "_id": "x", "_tag": "x",
    "_source": "x", "_lastUpdated": "ge2020", "identifier": "x", "patient": "x", "subject": "x", "patient.identifier": "x",
    "started": "2020", "modality": "CT", "series": "1.2", "instance": "1.2", "dicom-class": "1.2", "endpoint": "x", "status": "x",
    "bodysite": "x", "basedon": "x", "encounter": "x", "reason": "x", "name": "x", "family": "x", "given": "x", "birthdate": "2020",
    "gender": "male", "connection-type": "x", "payload-type": "x", "_include": "ImagingStudy:patient",
    "_revinclude": "ImagingStudy:patient", "code": "x", "category": "x", "date": "2020", "value-concept": "x", "component-code": "x",
    "derived-from": "x", "part-of": "x", "has-member": "x", "issued": "2020", "conclusion": "x", "result": "x", "type": "x",
    "contenttype": "x", "format": "x", "_since": "2020", "_type": "ImagingStudy", "_outputFormat": "ndjson", "study-uid": "1.2",
    "_sort": "_lastUpdated", "manufacturer": "x", "model": "x", "device-name": "x"}


ENTRY = {"00080050": {"vr": "SH", "Value": ["LISTED"]}, "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]},
         "00100020": {"vr": "LO", "Value": ["LISTED"]}, "00400100": {"vr": "SQ", "Value": [{}]}}


ORDER = {
    "resourceType": "ServiceRequest", "status": "active", "intent": "order", "subject": {"reference": "#p"},
    "category": [{"coding": [{"system": "http://snomed.info/sct", "code": "363679005"}]}],
    "orderDetail": [{"coding": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}]}],
    "identifier": [{"type": {"coding": [{"code": "PLAC"}]}, "system": "urn:openapi", "value": "1"}], "code": {"text": "CT of the head"},
    "contained": [{"resourceType": "Patient", "id": "p", "identifier": [{"value": "OPENAPI"}], "name": [{"family": "Roe"}]}]}


def commitment_of(ds, kind):
    """The body of a storage commitment request."""
    uids = {"00081150": ds.SOPClassUID, "00081155": ds.SOPInstanceUID}
    if kind.endswith("json"):
        item = {tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()}
        return json.dumps([{"00081199": {"vr": "SQ", "Value": [item]}}])
    item = "".join(f'<DicomAttribute tag="{tag}" vr="UI"><Value number="1">{uid}</Value></DicomAttribute>' for tag, uid in uids.items())
    return f'<NativeDicomModel><DicomAttribute tag="00081199" vr="SQ"><Item number="1">{item}</Item></DicomAttribute></NativeDicomModel>'


def test_every_GET_that_is_listed_works_with_every_type_and_parameter(server, document):
    ds = make(ReferencedPerformedProcedureStepSequence=None, DeviceSerialNumber="LISTED")
    store(server, ds)
    assert requests.put(url_of(server, ds, "study") + "/hold", json={"reason": "it is listed"}, timeout=60).status_code == 200
    tag = [{"path": "00181000", "vr": "LO", "level": "Series"}]
    assert requests.post(server.dicomweb + "/extendedquerytags", json=tag, timeout=60).status_code in (202, 409)
    uids = {"study": ds.StudyInstanceUID, "series": ds.SeriesInstanceUID, "instance": ds.SOPInstanceUID, "frames": "1",
            "path": "7FE00010", "kind": "Patient", "transaction": new_uid(), "tag": "00181000"}
    uids["workitem"], uids["subscriber"], uids["mpps"] = new_uid(), "LISTED", new_uid()
    steps = f"{server.dicomweb}/modality-performed-procedure-steps"
    requests.post(f"{steps}/{uids['mpps']}", json=[performed().to_json_dict()], timeout=60).raise_for_status()
    requests.post(f"{server.dicomweb}/workitems?{uids['workitem']}", json=[item().to_json_dict()], timeout=60).raise_for_status()
    uids["entry"] = requests.post(server.dicomweb + "/worklist", json=ENTRY, timeout=60).json()["key"]
    commitment = f"{server.url}/dicomweb/commitment-requests/{uids['transaction']}"
    requests.post(commitment, data=commitment_of(ds, "json"), headers={"Content-Type": "application/dicom+json"}, timeout=60)
    until(lambda: requests.get(commitment, timeout=60).status_code != 202, "the result of the commitment", pause=0.1)
    wado_uri = {"requestType": "WADO", "studyUID": uids["study"], "seriesUID": uids["series"], "objectUID": uids["instance"]}
    documents = {}
    for number, kind in enumerate(("application/pdf", "text/xml", "model/stl", "model/obj", "model/mtl"), 1):
        documents[kind] = make(SOPClassUID=f"1.2.840.10008.5.1.4.1.1.104.{number}", EncapsulatedDocument=b"it")
    documents["text/html"] = documents["text/plain"] = make(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", ValueType="CONTAINER")
    store(server, *{id(d): d for d in documents.values()}.values())
    store(server, report.measurements(ds, 1), report.key_objects(ds), report.pdf(ds))
    for kind, begin in (("video/mp4", b"\0\0\0\x18ftypisom"), ("video/mp2t", b"\x47\x40\0\x10"), ("video/mpeg", b"\0\0\1\xb3")):
        documents[kind] = make(NumberOfFrames=2, PixelData=encapsulate([begin + bytes(100)], has_bot=False))
        documents[kind]["PixelData"].VR = "OB"
        documents[kind]["PixelData"].is_undefined_length = True
        store(server, part10(documents[kind], MPEG4HP41))
    called = 0
    for path, method, operation in operations(document):
        if method != "get" or path.startswith(("/operations", "/fhir/ImagingSelection")):  # the latter in R5 alone
            continue
        if path.endswith("/subscribers/{subscriber}"):  # no document: a WebSocket
            assert requests.get(server.url + path.format(**uids), timeout=60).status_code == 426
            continue
        if "{id}" in path:
            bundle = requests.get(server.url + path[: path.index("/{id}")], timeout=60).json()
            resource = bundle["entry"][0]["resource"]
            uids["id"], uids["version"] = resource["id"], resource["meta"]["versionId"]
        if "{operation}" in path:
            uids["operation"] = requests.post(server.dicomweb + "/extendedquerytags", timeout=60, json=[
                {"path": "00181012", "vr": "DA", "level": "Series"}]).json()["id"]
            until(lambda: requests.get(server.dicomweb + f"/operations/{uids['operation']}", timeout=60).status_code == 200, "the index")
        url = server.url + path.format(**uids)
        base = wado_uri if path.endswith("/wado") else {}
        types = operation["responses"]["2XX"].get("content", {})
        for listed in types:
            if listed == "text/event-stream":
                with requests.get(url, headers={"Accept": listed}, stream=True, timeout=60) as answer:
                    assert answer.status_code == 200 and answer.headers["Content-Type"] == listed
                continue
            asked, target = {**base, "contentType": listed} if base else {}, url
            if listed in documents and path.endswith("{instance}/rendered"):  # each in the form that it has
                asked, target = {}, url_of(server, documents[listed]) + "/rendered"
            answer = requests.get(target, params=asked, headers={"Accept": listed}, timeout=60)
            assert answer.status_code == (202 if path.endswith("$export") else 200), (path, listed, answer.text[:300])
            given = answer.headers["Content-Type"]
            assert given.split(";")[0].strip() == listed.split(";")[0].strip(), (path, listed, given)
            called += 1
        answer = requests.get(url, params=base, headers={"Accept": None}, timeout=60)
        assert answer.headers["Content-Type"].split(";")[0] in {listed.split(";")[0] for listed in types}, path
        for parameter in operation["parameters"]:
            name = parameter["name"]
            if parameter["in"] != "query" or base:
                continue
            value = GOOD[name]  # one that the test does not know is not listed without a test of its own
            if name == "accept":
                value = next(iter(types))
            elif name == "study":
                value = str(uids["study"])
            elif name == "attributes":
                name, value = "PatientID", str(ds.PatientID)
            elif name == "_include":
                value = path.split("/")[-1] + ":patient"
            answer = requests.get(f"{url}?{name}={value}", headers={"Prefer": "handling=strict"}, timeout=60)
            assert answer.status_code in (200, 202, 204), (path, name, answer.text[:300])
    assert called > 40


def metadata_of(server, ds, kind):
    """Metadata without bulk data, as the server itself writes it, of an instance that is not there."""
    like = make(study=ds.StudyInstanceUID)
    del like.PixelData
    store(server, like)
    content = requests.get(url_of(server, like) + "/metadata", headers={"Accept": kind}, timeout=60).content
    return content.replace(like.SOPInstanceUID.encode(), ds.SOPInstanceUID.encode())


def test_every_POST_PUT_and_DELETE_that_is_listed_works(server, document):
    for path, method, operation in operations(document):
        if method == "get" or path.startswith(("/operations", "/fhir/ImagingSelection")) or re.search("/extendedquerytags|/worklist|/workitems|/modality-", path):
            continue
        ds = make()
        url = server.url + path.format(study=ds.StudyInstanceUID, series=ds.SeriesInstanceUID, instance=ds.SOPInstanceUID,
                                       transaction="{transaction}")
        if method == "post":
            for listed in operation["requestBody"]["content"]:
                ds = make(study=ds.StudyInstanceUID)
                body, content_type = part10(ds), listed
                if path.endswith("_search"):
                    body = "_count=1"
                if path.endswith("ServiceRequest"):
                    body = json.dumps(ORDER)
                if "{transaction}" in path:
                    body = commitment_of(ds, listed)
                if listed.startswith("multipart/"):
                    inner = re.search('"(.+)"', listed).group(1)
                    body, content_type = multipart([body if inner == "application/dicom" else metadata_of(server, ds, inner)], inner)
                for accepted in operation["responses"]["2XX"]["content"]:
                    target = url.format(transaction=new_uid())
                    answer = requests.post(target, data=body, headers={"Content-Type": content_type, "Accept": accepted}, timeout=60)
                    assert answer.status_code == (201 if "ServiceRequest" in path else 200), answer.text
                    assert answer.headers["Content-Type"].split(";")[0] == accepted.split(";")[0]
        elif method == "put":
            store(server, ds)
            assert path.endswith("/hold") and set(operation["requestBody"]["content"]) == {"application/json"}
            answer = requests.put(url, json={"reason": "it is listed"}, timeout=60)
            assert answer.status_code == 200 and set(operation["responses"]["2XX"]["content"]) == {answer.headers["Content-Type"]}
        else:
            assert method == "delete"
            store(server, ds)
            if path.endswith("/hold"):
                assert requests.put(url, json={"reason": "it is listed"}, timeout=60).status_code == 200
            answer = requests.delete(url, timeout=60)
            assert answer.status_code == 204 and "content" not in operation["responses"]["2XX"]


def test_query_tags_are_changed_as_it_is_listed(server, document):
    listed = {(path, method): operation for path, method, operation in operations(document) if method != "get"}
    root = "/dicomweb/extendedquerytags"
    tag = {"path": "00181010", "vr": "LO", "level": "Series"}
    for path, method, body, status in ((root, "post", [tag], 202), (root + "/{tag}", "patch", {"queryStatus": "Enabled"}, 200),
                                       (root + "/{tag}", "delete", None, 204)):
        operation = listed[path, method]
        answer = requests.request(method, server.url + path.format(tag="00181010"), json=body, timeout=60)
        assert answer.status_code == status and ("requestBody" in operation) == (body is not None)
        assert answer.headers.get("Content-Type", "").split(";")[0] in {*operation["responses"]["2XX"].get("content", {}), ""}


def test_work_items_are_changed_as_it_is_listed(server, document):
    listed = {(path, method): operation for path, method, operation in operations(document) if "/workitems" in path}
    one, who = "/dicomweb/workitems/{workitem}", "/subscribers/{subscriber}"
    state = dataset(ProcedureStepState="IN PROGRESS", TransactionUID=new_uid())
    uid = new_uid()
    for method, path, ds, status in (
            ("post", "/dicomweb/workitems", item(), 201), ("post", one, dataset(ProcedureStepLabel="x"), 200),
            ("put", one + "/state", state, 200), ("post", one + "/cancelrequest", dataset(), 202),
            ("post", one + who, None, 201), ("delete", one + who, None, 200), ("post", one + who + "/suspend", None, 400)):
        operation = listed[path, method]
        assert ("requestBody" in operation) == (ds is not None)
        body = [ds.to_json_dict()] if ds is not None else None
        url = server.url + path.format(workitem=uid, subscriber="LISTED") + (f"?{uid}" if path.endswith("/workitems") else "")
        if path == one:
            requests.post(f"{server.dicomweb}/workitems?{uid}", json=[item().to_json_dict()], timeout=60)
        answer = requests.request(method, url, json=body, timeout=60)
        assert answer.status_code == status, (method, path, answer.text)


def test_performed_steps_are_changed_as_it_is_listed(server, document):
    path = "/dicomweb/modality-performed-procedure-steps/{mpps}"
    assert set(document["paths"][path]) == {"get", "post"}
    operation = document["paths"][path]["post"]
    assert [p["name"] for p in operation["parameters"] if p["in"] == "query"] == ["update"]
    assert set(operation["requestBody"]["content"]) == {"application/dicom+json", "application/json", "application/dicom+xml"}
    url = server.url + path.format(mpps=new_uid())
    assert requests.post(url, json=[performed().to_json_dict()], timeout=60).status_code == 201
    assert requests.post(url + "?update", json=[ending().to_json_dict()], timeout=60).status_code == 200


def test_the_worklist_is_changed_as_it_is_listed(server, document):
    listed = {(path, method): operation for path, method, operation in operations(document) if method != "get"}
    root, one = "/dicomweb/worklist", "/dicomweb/worklist/{entry}"
    for kind in listed[root, "post"]["requestBody"]["content"]:
        for accepted in listed[root, "post"]["responses"]["2XX"]["content"]:
            answer = requests.post(server.url + root, json=ENTRY, headers={"Content-Type": kind, "Accept": accepted}, timeout=60)
            assert answer.status_code in (200, 201) and answer.headers["Content-Type"] == accepted
            answer = requests.put(answer.headers["Location"], json={}, headers={"Content-Type": kind, "Accept": accepted}, timeout=60)
            assert answer.status_code == 200 and accepted in listed[one, "put"]["responses"]["2XX"]["content"]
    answer = requests.delete(server.url + one.format(entry=answer.headers["Location"].rsplit("/", 1)[1]), timeout=60)
    assert answer.status_code == 204 and "content" not in listed[one, "delete"]["responses"]["2XX"]


# --- CAP-01 ---


def resources_of(text):
    root = ElementTree.fromstring(text)
    assert root.tag == WADL + "application"
    (resources,) = root
    return resources.get("base"), {
        ("/" + resource.get("path"), method.get("name").lower()) for resource in resources for method in resource.findall(WADL + "method")}


def test_CAP_01_OPTIONS_lists_what_there_is_as_WADL_and_JSON(server, document):
    listed = {(path, method) for path, method, _ in operations(document)}
    for path, expected in (("/", listed), ("/dicomweb/", {r for r in listed if r[0].startswith("/dicomweb/")})):
        for target in {path, path.rstrip("/") or "/"}:
            for accept in ("application/vnd.sun.wadl+xml", "*/*", None):
                answer = requests.options(server.url + target, headers={"Accept": accept}, timeout=60)
                assert answer.status_code == 200, answer.text
                assert answer.headers["Content-Type"] == "application/vnd.sun.wadl+xml"
                assert resources_of(answer.content) == (server.url + "/", expected)
            answer = requests.options(server.url + target, headers={"Accept": "application/json"}, timeout=60)
            assert answer.status_code == 200
            assert {(p, m) for p, m, _ in operations(answer.json())} == expected
            assert requests.options(server.url + target, headers={"Accept": "text/html"}, timeout=60).status_code == 406


def test_CAP_01_types_and_parameters_of_the_WADL_are_those_of_the_document(server, document):
    root = ElementTree.fromstring(requests.options(server.url + "/", timeout=60).content)
    for resource in root[0]:
        for method in resource.findall(WADL + "method"):
            operation = document["paths"]["/" + resource.get("path")][method.get("name").lower()]
            given = {r.get("mediaType") for r in method.find(WADL + "response")}
            assert given == set(operation["responses"]["2XX"].get("content", {}))
            # 201: a work item is made; 202: it is to be cancelled; 204: no match; 206: there are more
            assert method.find(WADL + "response").get("status").split() == ["200", "201", "202", "204", "206"]
            query = [p.get("name") for p in method.find(WADL + "request").findall(WADL + "param")]
            expected = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
            assert query == [name if name != "attributes" else "{attributeID}" for name in expected]
        template = [p.get("name") for p in resource.findall(WADL + "param")]
        assert template == re.findall(r"\{(\w+)\}", resource.get("path"))


def test_CAP_01_a_preflight_of_a_browser_is_no_question_of_what_there_is(start_server):
    server = start_server({"http": {"corsOrigins": ["https://viewer.example"]}})
    for path in ("/", "/dicomweb", "/dicomweb/studies"):
        answer = requests.options(server.url + path, timeout=60, headers={
            "Origin": "https://viewer.example", "Access-Control-Request-Method": "GET"})
        assert answer.status_code == 204 and answer.content == b""
        assert answer.headers["Access-Control-Allow-Origin"] == "https://viewer.example"


def test_the_document_follows_when_SIGHUP_brings_users(start_server, tmp_path):
    users = tmp_path / "users.json"
    users.write_text('{"users": []}')
    server = start_server()
    assert "components" not in requests.get(server.url + "/openapi.json", timeout=60).json()
    server.settings["http"]["usersFile"] = str(users)
    (server.folder / "hounsfield.json").write_text(json.dumps(server.settings))
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while "settings reloaded" not in server.log() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "components" in requests.get(server.url + "/openapi.json", timeout=60).json()
    assert requests.get(server.dicomweb + "/studies", timeout=60).status_code == 401


def test_the_document_says_who_must_log_in(start_server, tmp_path):
    users = tmp_path / "users.json"
    users.write_text('{"users": []}')
    server = start_server({"http": {"usersFile": str(users)}})
    document = requests.get(server.url + "/openapi.json", timeout=60).json()
    assert set(document["components"]["securitySchemes"]) == {"basic", "bearer"}
    for path, method, operation in operations(document):
        if method == "get" and "{" not in path:
            status = requests.get(server.url + path, headers=JSON, timeout=60).status_code
            assert (status == 401) == ("security" not in operation), path
