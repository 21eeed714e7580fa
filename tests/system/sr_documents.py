# SPDX-License-Identifier: MIT
"""SR documents as data sets: content items in a few words, and one document of each kind that the cast maps."""
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from web import make, new_uid

BASIC_TEXT = "1.2.840.10008.5.1.4.1.1.88.11"
COMPREHENSIVE = "1.2.840.10008.5.1.4.1.1.88.33"
KEY_OBJECTS = "1.2.840.10008.5.1.4.1.1.88.59"
DOSE = "1.2.840.10008.5.1.4.1.1.88.67"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"


def code(text):
    """ "113701,DCM,X-Ray Radiation Dose Report" """
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = text.split(",", 2)
    return ds


def item(kind, name, value=None, *below, relation="CONTAINS"):
    ds = Dataset()
    ds.RelationshipType = relation
    ds.ValueType = kind
    if name:
        ds.ConceptNameCodeSequence = Sequence([code(name)])
    if kind == "TEXT":
        ds.TextValue = value
    elif kind == "CODE":
        ds.ConceptCodeSequence = Sequence([code(value)])
    elif kind == "DATETIME":
        ds.DateTime = value
    elif kind == "UIDREF":
        ds.UID = value
    elif kind == "PNAME":
        ds.PersonName = value
    elif kind == "NUM":
        number, unit = value
        measured = Dataset()
        measured.NumericValue = number
        measured.MeasurementUnitsCodeSequence = Sequence([code(f"{unit},UCUM,{unit}")])
        ds.MeasuredValueSequence = Sequence([measured])
    elif kind == "IMAGE":
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = value
        ds.ReferencedSOPSequence = Sequence([reference])
    elif kind == "CONTAINER":
        ds.ContinuityOfContent = "SEPARATE"
    if below:
        ds.ContentSequence = Sequence(list(below))
    return ds


def document(image, sop_class, title, *items, verified=False, **attributes):
    """In the study of `image`, in a series of its own."""
    ds = make(study=image.StudyInstanceUID, PatientID=image.PatientID, AccessionNumber=image.AccessionNumber)
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
                    "SamplesPerPixel", "PhotometricInterpretation"):
        delattr(ds, keyword)
    ds.SOPClassUID = sop_class
    ds.Modality = "KO" if sop_class == KEY_OBJECTS else "SR"
    ds.SeriesNumber = 99
    ds.ContentDate, ds.ContentTime = "20260102", "103000"
    ds.Manufacturer, ds.ManufacturerModelName, ds.DeviceSerialNumber = "ACME", "Scribe", "SN-" + image.PatientID
    if title:
        ds.ValueType = "CONTAINER"
        ds.ContinuityOfContent = "SEPARATE"
        ds.ConceptNameCodeSequence = Sequence([code(title)])
        ds.CompletionFlag = "COMPLETE"
        ds.VerificationFlag = "VERIFIED" if verified else "UNVERIFIED"
        ds.ContentSequence = Sequence(list(items))
    if verified:
        observer = Dataset()
        observer.VerifyingOrganization = "General Hospital"
        observer.VerificationDateTime = "20260102113000"
        observer.VerifyingObserverName = "House^Gregory"
        observer.VerifyingObserverIdentificationCodeSequence = Sequence([code("4711,99HOSP,Dr. House")])
        ds.VerifyingObserverSequence = Sequence([observer])
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def report(image, impression="No pneumonia.", **attributes):
    return document(
        image, BASIC_TEXT, "18748-4,LN,Diagnostic imaging study",
        item("PNAME", "121008,DCM,Person Observer Name", "House^Gregory", relation="HAS OBS CONTEXT"),
        item("CONTAINER", "121070,DCM,Findings", None, item("TEXT", "121071,DCM,Finding", "Nothing in the lungs.")),
        item("CONTAINER", "121072,DCM,Impressions", None, item("TEXT", "121073,DCM,Impression", impression)),
        **{"verified": True, **attributes},
    )


def measurements(image, length="12.50", uid=None, **attributes):
    """TID 1500 with one Measurement Group of a length and a finding."""
    number = item("NUM", "410668003,SCT,Length", (length, "mm"),
                  item("IMAGE", "", (image.SOPClassUID, image.SOPInstanceUID), relation="INFERRED FROM"))
    if uid:
        number.ObservationUID = uid
    return document(
        image, COMPREHENSIVE, "126000,DCM,Imaging Measurement Report",
        item("PNAME", "121008,DCM,Person Observer Name", "Cuddy^Lisa", relation="HAS OBS CONTEXT"),
        item("CONTAINER", "126010,DCM,Imaging Measurements", None,
             item("CONTAINER", "125007,DCM,Measurement Group", None,
                  item("TEXT", "112039,DCM,Tracking Identifier", "Nodule 1", relation="HAS OBS CONTEXT"),
                  item("UIDREF", "112040,DCM,Tracking Unique Identifier", new_uid(), relation="HAS OBS CONTEXT"),
                  item("CODE", "363698007,SCT,Finding Site", "39607008,SCT,Lung",
                       item("CODE", "272741003,SCT,Laterality", "24028007,SCT,Right", relation="HAS CONCEPT MOD"),
                       relation="HAS CONCEPT MOD"),
                  number,
                  item("CODE", "121071,DCM,Finding", "27925004,SCT,Nodule"))),
        **attributes,
    )


def ct_dose(image, event=None, dlp="415.82", **attributes):
    """TID 10011 with one acquisition."""
    return document(
        image, DOSE, "113701,DCM,X-Ray Radiation Dose Report",
        item("CODE", "121058,DCM,Procedure reported", "77477000,SCT,Computed Tomography X-Ray",
             relation="HAS CONCEPT MOD"),
        item("DATETIME", "113809,DCM,Start of X-Ray Irradiation", "20260102101200"),
        item("DATETIME", "113810,DCM,End of X-Ray Irradiation", "20260102101500"),
        item("CONTAINER", "113811,DCM,CT Accumulated Dose Data", None,
             item("NUM", "113812,DCM,Total Number of Irradiation Events", ("1", "{events}")),
             item("NUM", "113813,DCM,CT Dose Length Product Total", (dlp, "mGy.cm"))),
        item("CONTAINER", "113819,DCM,CT Acquisition", None,
             item("CODE", "123014,DCM,Target Region", "69536005,SCT,Head"),
             item("CODE", "113820,DCM,CT Acquisition Type", "113804,DCM,Sequenced Acquisition"),
             item("UIDREF", "113769,DCM,Irradiation Event UID", event or new_uid()),
             item("CONTAINER", "113829,DCM,CT Dose", None,
                  item("NUM", "113830,DCM,Mean CTDIvol", ("25.4", "mGy")),
                  item("NUM", "113838,DCM,DLP", (dlp, "mGy.cm")))),
        **attributes,
    )


def key_objects(image, **attributes):
    return document(
        image, KEY_OBJECTS, "113000,DCM,Of Interest",
        item("PNAME", "121008,DCM,Person Observer Name", "House^Gregory", relation="HAS OBS CONTEXT"),
        item("TEXT", "113012,DCM,Key Object Description", "Look here"),
        item("IMAGE", "", (image.SOPClassUID, image.SOPInstanceUID)),
        **attributes,
    )


def pdf(image, **attributes):
    # DOC is newer than the DCM code system that the R4 validator knows
    return document(image, PDF, None, Modality="OT", DocumentTitle="Letter", EncapsulatedDocument=b"%PDF-1.4 ..",
                    MIMETypeOfEncapsulatedDocument="application/pdf", **attributes)
