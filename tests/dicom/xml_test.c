/* SPDX-License-Identifier: MIT */
#include "dicom/xml.h"

#include "dicom/encode.h"
#include "tests/test.h"

static const struct json_options all = { .bulk_data_prefix = "/bulk/?a&b/" };

static struct encoder encoder_on(struct buffer *bytes)
{
    *bytes = buffer_up_to(1 << 20);
    return (struct encoder){ .out = bytes, .explicit_vr = true };
}

/* The document of what was encoded, without its frame. */
static const char *write_xml(struct buffer *bytes)
{
    static const char begin[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel "
                                "xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" "
                                "xml:space=\"preserve\">";
    static const char end[] = "</NativeDicomModel>\n";
    static struct buffer xml;
    struct dataset *dataset = NULL;
    struct error err = { 0 };
    buffer_release(&xml);
    xml = buffer_up_to(1 << 20);
    CHECK_OK(dataset_open(buffer_slice(bytes),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          &dataset, &err),
             err);
    xml_write_dataset(dataset, &all, &xml);
    dataset_close(dataset);
    buffer_release(bytes);
    CHECK(strncmp(buffer_text(&xml), begin, sizeof(begin) - 1) == 0);
    xml.size -= sizeof(end) - 1;
    CHECK(memcmp(xml.data + xml.size, end, sizeof(end) - 1) == 0);
    return buffer_text(&xml) + sizeof(begin) - 1;
}

#define CHECK_XML(bytes, text) CHECK_TEXT(write_xml(bytes), text)

TEST(JSN_05_attributes_have_tag_vr_keyword_and_numbered_values)
{
    struct buffer bytes;
    struct encoder encoder = encoder_on(&bytes);
    encode_text(&encoder, TAG_IMAGE_TYPE, VR_CS, "ORIGINAL\\\\AXIAL");
    encode_text(&encoder, TAG_STUDY_DESCRIPTION, VR_LO, "");
    encode_u16(&encoder, TAG_ROWS, 512);
    CHECK_XML(&bytes, "<DicomAttribute tag=\"00080008\" vr=\"CS\" keyword=\"ImageType\">"
                      "<Value number=\"1\">ORIGINAL</Value><Value number=\"2\"></Value>"
                      "<Value number=\"3\">AXIAL</Value></DicomAttribute>"
                      "<DicomAttribute tag=\"00081030\" vr=\"LO\" keyword=\"StudyDescription\">"
                      "</DicomAttribute>"
                      "<DicomAttribute tag=\"00280010\" vr=\"US\" keyword=\"Rows\">"
                      "<Value number=\"1\">512</Value></DicomAttribute>");
}

TEST(JSN_05_person_names_have_groups_of_components)
{
    struct buffer bytes;
    struct encoder encoder = encoder_on(&bytes);
    encode_text(&encoder, TAG_PATIENT_NAME, VR_PN, "Doe^Jane^^Dr=X^Y\\\\A");
    CHECK_XML(&bytes,
              "<DicomAttribute tag=\"00100010\" vr=\"PN\" keyword=\"PatientName\">"
              "<PersonName number=\"1\"><Alphabetic><FamilyName>Doe</FamilyName>"
              "<GivenName>Jane</GivenName><NamePrefix>Dr</NamePrefix></Alphabetic><Ideographic>"
              "<FamilyName>X</FamilyName><GivenName>Y</GivenName></Ideographic></PersonName>"
              "<PersonName number=\"2\"></PersonName>"
              "<PersonName number=\"3\"><Alphabetic><FamilyName>A</FamilyName></Alphabetic>"
              "</PersonName></DicomAttribute>");
}

TEST(JSN_05_private_attributes_name_their_creator_and_no_block)
{
    struct buffer bytes;
    struct encoder encoder = encoder_on(&bytes);
    encode_text(&encoder, 0x00090011, VR_LO, "A & B");
    encode_text(&encoder, 0x00091101, VR_LO, "x");
    encode_text(&encoder, 0x00091201, VR_LO, "nobody's");
    encode_sequence_begin(&encoder, 0x00091102);
    encode_item_begin(&encoder);
    encode_text(&encoder, 0x00091101, VR_LO, "its item reserved nothing");
    encode_item_end(&encoder);
    encode_sequence_end(&encoder);
    CHECK_XML(&bytes,
              "<DicomAttribute tag=\"00090011\" vr=\"LO\"><Value number=\"1\">A &amp; B</Value>"
              "</DicomAttribute>"
              "<DicomAttribute tag=\"00090001\" vr=\"LO\" privateCreator=\"A &amp; B\">"
              "<Value number=\"1\">x</Value></DicomAttribute>"
              "<DicomAttribute tag=\"00090002\" vr=\"SQ\" privateCreator=\"A &amp; B\">"
              "<Item number=\"1\"><DicomAttribute tag=\"00091101\" vr=\"LO\">"
              "<Value number=\"1\">its item reserved nothing</Value></DicomAttribute></Item>"
              "</DicomAttribute>"
              "<DicomAttribute tag=\"00091201\" vr=\"LO\"><Value number=\"1\">nobody's</Value>"
              "</DicomAttribute>");
}

TEST(JSN_05_characters_are_escaped_or_replaced_as_xml_wants)
{
    struct buffer xml = buffer_up_to(1 << 10);
    static const char text[] = "<a b=\"c\">&\r\n\t\x01\x1B \xEF\xBF\xBE\xEF\xBF\xBD\xC3\xA4\xC3";
    xml_write_text(slice_text(text), &xml);
    CHECK_TEXT(buffer_text(&xml), "&lt;a b=&quot;c&quot;&gt;&amp;&#xD;&#xA;&#x9;\xEF\xBF\xBD"
                                  "\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD\xC3\xA4\xEF\xBF\xBD");
    buffer_release(&xml);
}

TEST(JSN_05_binary_values_stand_inline_or_at_a_uri)
{
    static const uint8_t small[4] = { 1, 2, 3, 4 }, large[2000];
    struct buffer bytes;
    struct encoder encoder = encoder_on(&bytes);
    encode_bytes(&encoder, 0x00420011, VR_OB, slice_of(small, sizeof(small)));
    encode_bytes(&encoder, 0x00720050, VR_AT, slice_of(small, sizeof(small)));
    encode_bytes(&encoder, 0x00720090, VR_UN, slice_of(large, sizeof(large)));
    CHECK_XML(&bytes, "<DicomAttribute tag=\"00420011\" vr=\"OB\" keyword=\"EncapsulatedDocument\">"
                      "<InlineBinary>AQIDBA==</InlineBinary></DicomAttribute>"
                      "<DicomAttribute tag=\"00720050\" vr=\"AT\" keyword=\"SelectorAttributeVR\">"
                      "<Value number=\"1\">02010403</Value></DicomAttribute>"
                      "<DicomAttribute tag=\"00720090\" vr=\"UN\">"
                      "<BulkData uri=\"/bulk/?a&amp;b/00720090\"/></DicomAttribute>");
}

TEST(JSN_05_numbers_beyond_doubles_are_written_with_all_digits)
{
    static const uint8_t large[16] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1 };
    struct buffer bytes;
    struct encoder encoder = encoder_on(&bytes);
    encode_bytes(&encoder, 0x00091001, VR_UV, slice_of(large, sizeof(large)));
    encode_text(&encoder, 0x00101030, VR_DS, "1.00000000000000000001");
    CHECK_XML(&bytes, "<DicomAttribute tag=\"00091001\" vr=\"UV\">"
                      "<Value number=\"1\">18446744073709551615</Value><Value number=\"2\">1"
                      "</Value></DicomAttribute>"
                      "<DicomAttribute tag=\"00101030\" vr=\"DS\" keyword=\"PatientWeight\">"
                      "<Value number=\"1\">1.00000000000000000001</Value></DicomAttribute>");
}
