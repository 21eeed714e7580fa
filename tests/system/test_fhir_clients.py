# SPDX-License-Identifier: MIT
"""The FHIR view read by clients that others wrote: fhirclient (SMART's models of R4, which refuse what is none) and fhirpy."""
import fhirclient.models.diagnosticreport
import fhirclient.models.imagingstudy
import fhirclient.models.observation
import fhirclient.models.patient
import pytest
import report
from fhirclient.client import FHIRClient
from fhirclient.server import FHIRNotFoundException
from fhirpy import SyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound
from web import make, new_uid, store


@pytest.fixture(scope="module")
def studies(server):
    """Five studies of one patient, one of them with a report."""
    patient = "C" + new_uid()[-10:]
    images = [make(PatientID=patient, StudyDate=f"2023010{day}", PatientName="Kirk^James", Modality="MR") for day in range(1, 6)]
    documents = [report.measurements(images[0], 3.25), report.pdf(images[0])]
    store(server, *images, *documents)
    return images


def test_fhirclient_reads_and_searches_by_its_models(server, studies):
    models = fhirclient.models
    client = FHIRClient(settings={"app_id": "test", "api_base": server.fhir_view})
    assert client.prepare()
    smart = client.server
    study = models.imagingstudy.ImagingStudy.read(studies[0].StudyInstanceUID, smart)
    assert study.numberOfInstances == 3 and study.started.isostring.startswith("2023-01-01")
    subject = study.subject.resolved(models.patient.Patient) or models.patient.Patient.read_from(study.subject.reference, smart)
    assert (subject.name[0].family, subject.name[0].given) == ("Kirk", ["James"])
    search = models.imagingstudy.ImagingStudy.where({"patient": subject.id, "started": {"$and": ["ge2023-01-02", "lt2023-01-05"]},
                                                     "modality": "MR", "_count": "2"})
    assert {s.id for s in search.perform_resources_iter(smart)} == {d.StudyInstanceUID for d in studies[1:4]}
    lengths = models.observation.Observation.where({"subject": subject.id, "code": "410668003"}).perform_resources_iter(smart)
    assert [(o.valueQuantity.value, o.valueQuantity.unit) for o in lengths] == [(3.25, "mm")]
    reports = list(models.diagnosticreport.DiagnosticReport.where({"patient": f"Patient/{subject.id}"}).perform_resources_iter(smart))
    assert len(reports) == 2 and all(r.imagingStudy[0].reference == f"ImagingStudy/{study.id}" for r in reports)
    with pytest.raises(FHIRNotFoundException):
        models.patient.Patient.read("nobody", smart)


def test_fhirpy_searches_follows_pages_and_references(server, studies):
    client = SyncFHIRClient(server.fhir_view)
    patients = client.resources("Patient").search(identifier=studies[0].PatientID).fetch_all()
    assert len(patients) == 1
    patient = patients[0]
    query = client.resources("ImagingStudy").search(patient=patient.to_reference().reference)
    assert query.count() == 5
    every = query.limit(2).fetch_all()
    assert [s["id"] for s in every] == [d.StudyInstanceUID for d in reversed(studies)]
    assert [s["id"] for s in query.limit(2)] == [s["id"] for s in every]
    late = client.resources("ImagingStudy").search(patient=patient.id, started__ge="2023-01-04").fetch()
    assert {s["id"] for s in late} == {d.StudyInstanceUID for d in studies[3:]}
    assert every[0]["subject"].to_resource().id == patient.id
    raw = client.resources("ImagingStudy").search(_id=studies[2].StudyInstanceUID).include("ImagingStudy", "patient").fetch_raw()
    assert [e["search"]["mode"] for e in raw["entry"]] == ["match", "include"]
    few = client.resources("ImagingStudy").search(patient=patient.id).elements("started").fetch()
    assert all("series" not in s for s in few) and len(few) == 5
    observation = client.resources("Observation").search(patient=patient.id, code="410668003").first()
    assert observation["valueQuantity"]["value"] == 3.25
    assert client.resources("ImagingStudy").search(series=studies[1].SeriesInstanceUID).get()["id"] == studies[1].StudyInstanceUID
    with pytest.raises(ResourceNotFound):
        client.reference("Patient", "nobody").to_resource()
    with pytest.raises(OperationOutcome):
        client.resources("ImagingStudy").search(started="yesterday").fetch()
    with pytest.raises(OperationOutcome):
        client.resource("Patient", gender="male").save()
