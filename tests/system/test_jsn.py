# SPDX-License-Identifier: MIT
"""The DICOM JSON model as a client gets it, CONFORMANCE JSN-01, JSN-02, JSN-03, JSN-04 (PS3.18 annex F)."""
import base64
import io
import json
import re

import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from web import get, make, part10, store, url_of, value


def metadata(server, ds):
    store(server, ds)
    answer = get(url_of(server, ds) + "/metadata", "application/dicom+json")
    return answer.json()[0], answer.text


def check_object(item):
    keys = list(item)
    assert keys == sorted(keys)
    for key, element in item.items():
        assert re.fullmatch("[0-9A-F]{8}", key)
        assert key[4:] != "0000" and not key.startswith("0002")
        assert re.fullmatch("[A-Z]{2}", element["vr"])
        assert len(element.keys() & {"Value", "BulkDataURI", "InlineBinary"}) <= 1
        assert set(element) <= {"vr", "Value", "BulkDataURI", "InlineBinary"}
        if element["vr"] == "SQ":
            for inner in element.get("Value", []):
                check_object(inner)
        if "Value" in element:
            assert element["Value"], f"{key} has an empty Value"


def test_JSN_01_keys_are_ascending_hex_and_each_has_a_vr(server):
    ds = make(PatientComments="", StudyDescription="")
    ds.add_new(0x00091001, "LO", "private value")
    ds.add_new(0x00090010, "LO", "HOUNSFIELD TEST")
    item, _ = metadata(server, ds)
    check_object(item)
    assert item["00081030"] == {"vr": "LO"}, "an empty attribute has its vr only"
    assert value(item, "00091001") == "private value"


def test_JSN_02_person_names_sequences_tags_and_numbers(server):
    empty, full = Dataset(), Dataset()
    full.CodeValue, full.CodingSchemeDesignator, full.CodeMeaning = "T-1", "99X", "meaning"
    ds = make(
        PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", SpecificCharacterSet="ISO_IR 192",
        OtherPatientNames=["One^A", "", "Two^B"], ProcedureCodeSequence=Sequence([empty, full]),
        ImageType=["ORIGINAL", "", "AXIAL"], FrameIncrementPointer=0x00181063, PixelSpacing=["0.50", "1e-2"],
        ImagePositionPatient=[-1, 2.5, 0], WindowCenter="40", SmallestImagePixelValue=7,
    )
    ds["SmallestImagePixelValue"].VR = "US"
    item, _ = metadata(server, ds)
    check_object(item)
    assert item["00100010"]["Value"] == [
        {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]
    assert item["00101001"]["Value"] == [{"Alphabetic": "One^A"}, None, {"Alphabetic": "Two^B"}]
    assert item["00081032"]["Value"][0] == {}
    assert value(item["00081032"]["Value"][1], "00080104") == "meaning"
    assert item["00080008"]["Value"] == ["ORIGINAL", None, "AXIAL"]
    assert item["00280009"]["Value"] == ["00181063"]
    assert [float(v) for v in item["00280030"]["Value"]] == [0.5, 0.01]
    assert [float(v) for v in item["00200032"]["Value"]] == [-1, 2.5, 0]
    assert float(value(item, "00281050")) == 40 and value(item, "00280106") == 7
    assert item["00080005"]["Value"] == ["ISO_IR 192"]


def test_JSN_02_text_of_every_character_set_becomes_utf8(server):
    names = {
        "ISO_IR 100": "Äneas^Rüdiger", "ISO_IR 144": "Люкceмбypг", "ISO_IR 126": "Διονυσιος", "GB18030": "王^小东",
        "ISO_IR 192": "Ωmega^日本",
    }
    for charset, name in names.items():
        ds = make(SpecificCharacterSet=charset, PatientName=name, StudyDescription=name.replace("^", " "))
        item, _ = metadata(server, ds)
        assert value(item, "00100010")["Alphabetic"] == name, charset
        assert value(item, "00081030") == name.replace("^", " ")
        assert item["00080005"]["Value"] == ["ISO_IR 192"]
    for charset, raw, expected in [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "山田^太郎"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "洪^吉洞"),
    ]:
        ds = make(SpecificCharacterSet=charset, PatientName=raw)
        item, _ = metadata(server, ds)
        assert value(item, "00100010")["Ideographic"] == expected


def test_JSN_03_odd_numbers_and_control_characters_stay_valid_json(server):
    ds = make(StudyDescription='quote " backslash / tab\t')
    ds.add_new(0x00189073, "FD", float("nan"))
    ds.add_new(0x00189087, "FD", [float("inf"), 0.1])
    raw = bytearray(part10(make(study=ds.StudyInstanceUID, SliceThickness="1.5")))
    item, text = metadata(server, ds)
    json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
    assert item["00189087"]["Value"][1] == 0.1
    assert value(item, "00081030") == 'quote " backslash / tab\t'
    broken = raw.replace(b"Doe^Jane", b"D\xf8\xff\x00^ane")
    store(server, bytes(broken))
    (found,) = [
        i
        for i in get(url_of(server, ds, "study") + "/metadata").json()
        if value(i, "00080018") == str(pydicom.dcmread(io.BytesIO(bytes(raw))).SOPInstanceUID)
    ]
    check_object(found)


def test_JSN_04_small_binary_values_stand_inline_in_base64(server):
    ds = make()
    ds.add_new(0x00420013, "OB", bytes(range(16)))
    item, _ = metadata(server, ds)
    element = item["00420013"]
    assert base64.b64decode(element["InlineBinary"], validate=True) == bytes(range(16))
