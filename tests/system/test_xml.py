# SPDX-License-Identifier: MIT
"""The Native DICOM Model as a client gets it: CONFORMANCE JSN-05, QIDO-11, STOW-03, WADO-04, WEB-09 (PS3.19 annex A)."""
import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from web import get, make, multipart, part10, parts_of, store, url_of

XML_PARTS = 'multipart/related; type="application/dicom+xml"'
NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
GROUPS = ["Alphabetic", "Ideographic", "Phonetic"]
COMPONENTS = ["FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"]


def name_of(element):
    assert element.tag.startswith(NAMESPACE), element.tag
    return element.tag[len(NAMESPACE):]


def check_numbers(children):
    assert [c.get("number") for c in children] == [str(i + 1) for i in range(len(children))]


def check_name(element):
    groups = [name_of(g) for g in element]
    assert groups == [g for g in GROUPS if g in groups]
    for group in element:
        components = [name_of(c) for c in group]
        assert components == [c for c in COMPONENTS if c in components]


def check_attribute(element):
    """As the schema of PS3.19 A.1.6 has it."""
    assert name_of(element) == "DicomAttribute"
    assert re.fullmatch("[0-9A-F]{8}", element.get("tag")) and re.fullmatch("[A-Z]{2}", element.get("vr"))
    assert set(element.keys()) <= {"tag", "vr", "keyword", "privateCreator"}
    kinds = {name_of(child) for child in element}
    assert len(kinds) <= 1, kinds
    for kind in kinds:
        assert kind in {"Value", "PersonName", "Item", "BulkData", "InlineBinary"}
        assert (kind == "Item") == (element.get("vr") == "SQ") and (kind == "PersonName") == (element.get("vr") == "PN")
        if kind in {"BulkData", "InlineBinary"}:
            assert len(element) == 1
        else:
            check_numbers(element)
    for child in element:
        if name_of(child) == "PersonName":
            check_name(child)
        if name_of(child) == "Item":
            check_attributes(child)


def check_attributes(parent):
    keys = []
    for element in parent:
        check_attribute(element)
        keys.append(element.get("privateCreator") or element.get("tag"))
    standard = [k for k in keys if re.fullmatch("[0-9A-F]{8}", k)]
    assert standard == sorted(set(standard))


def parse(content):
    model = ElementTree.parse(io.BytesIO(content)).getroot()
    assert name_of(model) == "NativeDicomModel"
    check_attributes(model)
    return {e.get("tag"): e for e in model}


def values(element):
    return [v.text or "" for v in element]


def models_of(answer):
    assert 'type="application/dicom+xml"' in answer.headers["Content-Type"]
    models = []
    for headers, content in parts_of(answer):
        assert headers["Content-Type"].startswith("application/dicom+xml")
        models.append((headers["Content-Location"], parse(content)))
    return models


def example():
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "T-1", "99X", "a < b & \"c\""
    ds = make(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg^^Dr", OtherPatientNames=["One^A", "", "Two^B"],
              ProcedureCodeSequence=Sequence([Dataset(), code]), ImageType=["ORIGINAL", "", "AXIAL"],
              StudyDescription="", PixelSpacing=["0.50", "1e-2"], FrameIncrementPointer=0x00181063)
    ds.add_new(0x00090010, "LO", "HOUNSFIELD TEST")
    ds.add_new(0x00091001, "LO", "private value")
    ds.add_new(0x00420011, "OB", bytes(range(16)))
    return ds


def test_JSN_05_and_WADO_04_metadata_is_one_valid_model_for_each_instance(server):
    ds = example()
    other = make(study=ds.StudyInstanceUID)
    store(server, ds, other)
    found = models_of(get(url_of(server, ds, "study") + "/metadata", XML_PARTS))
    assert {m["00080018"][0].text for _, m in found} == {str(ds.SOPInstanceUID), str(other.SOPInstanceUID)}
    ((location, model),) = models_of(get(url_of(server, ds) + "/metadata", XML_PARTS))
    assert location == url_of(server, ds) + "/metadata" and get(location).json()
    assert model["00080016"].get("keyword") == "SOPClassUID" and not [t for t in model if t.startswith("0002")]
    assert values(model["00080008"]) == ["ORIGINAL", "", "AXIAL"] and len(model["00081030"]) == 0
    assert values(model["00080005"]) == ["ISO_IR 192"] and values(model["00280009"]) == ["00181063"]
    assert values(model["00280030"]) == ["0.50", "1e-2"] and values(model["00280010"]) == ["16"]
    family = model["00100010"].find(f"{NAMESPACE}PersonName/{NAMESPACE}Alphabetic/{NAMESPACE}FamilyName")
    assert family.text == "Müller" and len(model["00101001"]) == 3 and len(model["00101001"][1]) == 0
    empty, full = model["00081032"]
    assert len(empty) == 0 and full.find(f"{NAMESPACE}DicomAttribute[@tag='00080104']")[0].text == "a < b & \"c\""
    private = model["00090001"]
    assert private.get("privateCreator") == "HOUNSFIELD TEST" and values(private) == ["private value"]
    assert base64.b64decode(model["00420011"][0].text) == bytes(range(16))
    bulk = model["7FE00010"][0]
    assert name_of(bulk) == "BulkData" and get(bulk.get("uri")).content == ds.PixelData


def test_WADO_04_metadata_of_one_instance_is_also_one_document(server):
    ds = make()
    store(server, ds)
    answer = get(url_of(server, ds) + "/metadata", "application/dicom+xml")
    assert answer.headers["Content-Type"].startswith("application/dicom+xml")
    assert values(parse(answer.content)["00080018"]) == [ds.SOPInstanceUID]
    get(url_of(server, ds, "study") + "/metadata", "application/dicom+xml", expected=406)
    same = {"Accept": "application/dicom+xml", "If-None-Match": answer.headers["ETag"]}
    assert requests.get(url_of(server, ds) + "/metadata", headers=same, timeout=60).status_code == 304
    same["Accept"] = "application/dicom+json"
    assert requests.get(url_of(server, ds) + "/metadata", headers=same, timeout=60).status_code == 200


def test_WADO_04_etags_of_json_and_xml_are_not_the_same(server):
    ds = make()
    store(server, ds)
    url = url_of(server, ds, "series") + "/metadata"
    etags = {get(url, accept).headers["ETag"] for accept in (XML_PARTS, "application/dicom+json")}
    assert len(etags) == 2


def test_QIDO_11_each_match_is_a_part_with_a_native_dicom_model(server):
    first = make()
    second = make(study=first.StudyInstanceUID)
    store(server, first, second)
    answer = get(f"{server.dicomweb}/instances", XML_PARTS, StudyInstanceUID=first.StudyInstanceUID)
    found = models_of(answer)
    assert {m["00080018"][0].text for _, m in found} == {str(first.SOPInstanceUID), str(second.SOPInstanceUID)}
    for location, model in found:
        assert values(model["00081190"]) == [location]
        get(location)
    empty = get(f"{server.dicomweb}/studies", XML_PARTS, expected=204, PatientID="nobody has this")
    assert not empty.content


def test_STOW_03_the_answer_is_a_part_where_parts_are_accepted(server):
    ds = make()
    body, content_type = multipart([part10(ds), b"no DICOM"])
    answer = requests.post(f"{server.dicomweb}/studies", data=body, timeout=60,
                           headers={"Content-Type": content_type, "Accept": XML_PARTS})
    assert answer.status_code == 202
    ((_, content),) = parts_of(answer)
    model = parse(content)
    (item,) = model["00081199"]
    assert {e.get("keyword") for e in item} == {"ReferencedSOPClassUID", "ReferencedSOPInstanceUID", "RetrieveURL"}
    assert values(model["0008119A"][0][0]) == [str(0xC000)]


@pytest.mark.parametrize("resource", ["/studies", "/instances"])
def test_WEB_09_only_utf8_can_be_asked_for(server, resource):
    ds = make(SpecificCharacterSet="ISO_IR 100", PatientName="Müller")
    store(server, ds)
    url = server.dicomweb + resource
    for charset, expected in (("utf-8", 200), ("UTF-8", 200), ("iso-8859-1", 400), ("", 400)):
        get(url, expected=expected, charset=charset, PatientID=ds.PatientID)
    answer = requests.get(url, params={"PatientID": ds.PatientID}, timeout=60, headers={"Accept-Charset": "iso-8859-1"})
    assert answer.json()[0]["00100010"]["Value"][0]["Alphabetic"] == "Müller"
