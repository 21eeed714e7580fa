# SPDX-License-Identifier: MIT
"""Documents of a study for tests: a measurement report, a key object selection, an encapsulated PDF."""
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from web import make, new_uid

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"


def item(**attributes):
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def code(value, scheme, meaning):
    return Sequence([item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)])


def content(relation, kind, name, **attributes):
    return item(RelationshipType=relation, ValueType=kind, ConceptNameCodeSequence=code(*name), **attributes)


def of(ds, **attributes):
    """An instance of the same study, in a series of its own, without pixels."""
    same = {k: getattr(ds, k) for k in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate", "StudyTime")
            if k in ds}
    document = make(study=ds.StudyInstanceUID, PatientID=ds.PatientID, **{**same, **attributes})
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
                    "SamplesPerPixel", "PhotometricInterpretation"):
        if keyword in document:
            delattr(document, keyword)
    return document


def measurement(uid, millimetres):
    value = item(NumericValue=str(millimetres), MeasurementUnitsCodeSequence=code("mm", "UCUM", "mm"))
    return content("CONTAINS", "NUM", ("410668003", "SCT", "Length"), ObservationUID=uid, MeasuredValueSequence=Sequence([value]))


def measurements(ds, *millimetres, **attributes):
    """A verified report with a length for each number."""
    group = content("CONTAINS", "CONTAINER", ("125007", "DCM", "Measurement Group"), ContinuityOfContent="SEPARATE",
                    ContentSequence=Sequence([measurement(new_uid(), value) for value in millimetres]))
    return of(ds, SOPClassUID=COMPREHENSIVE_SR, Modality="SR", ContentDate="20260102", ContentTime="120000",
              TimezoneOffsetFromUTC="+0000", ValueType="CONTAINER", ConceptNameCodeSequence=code("126000", "DCM", "Imaging Measurement Report"),
              ContinuityOfContent="SEPARATE", CompletionFlag="COMPLETE", VerificationFlag="VERIFIED",
              ContentSequence=Sequence([group]), **attributes)


def key_objects(ds):
    image = item(ReferencedSOPClassUID=ds.SOPClassUID, ReferencedSOPInstanceUID=ds.SOPInstanceUID)
    shown = item(RelationshipType="CONTAINS", ValueType="IMAGE", ReferencedSOPSequence=Sequence([image]))
    return of(ds, SOPClassUID=KEY_OBJECTS, Modality="KO", ContentDate="20260102", ContentTime="120000", TimezoneOffsetFromUTC="+0000",
              ValueType="CONTAINER", ConceptNameCodeSequence=code("113000", "DCM", "Of Interest"), ContinuityOfContent="SEPARATE",
              ContentSequence=Sequence([shown]))


def pdf(ds, title="Findings"):
    # not DOC: the validator has a DCM from before that
    return of(ds, SOPClassUID=PDF, Modality="OT", ContentDate="20260102", ContentTime="120000", TimezoneOffsetFromUTC="+0000",
              DocumentTitle=title, MIMETypeOfEncapsulatedDocument="application/pdf", EncapsulatedDocument=b"%PDF-1.4 ")
