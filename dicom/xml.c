/* SPDX-License-Identifier: MIT */
#include "dicom/xml.h"

#include "dicom/model_writer.h"
#include "dicom/utf8.h"

#define XML_PUT(xml, literal) JSON_PUT(xml, literal)

/* Text. */

static const char *escape_of(uint8_t byte)
{
    switch (byte) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    /* Parsers make line feeds of carriage returns, and spaces of all three in attributes. */
    case '\r':
        return "&#xD;";
    case '\n':
        return "&#xA;";
    case '\t':
        return "&#x9;";
    default:
        return byte < 0x20 ? "\xEF\xBF\xBD" : NULL; /* none of XML 1.0's characters (2.2) */
    }
}

/* Size of the character here when it may stand as it is, else 0. */
static size_t plain_size(struct slice text)
{
    uint8_t byte = text.data[0];
    if (byte < 0x80)
        return escape_of(byte) ? 0 : 1;
    size_t size = utf8_size(text);
    /* U+FFFE and U+FFFF are valid UTF-8 and no characters of XML. */
    if (size == 3 && byte == 0xEF && text.data[1] == 0xBF && text.data[2] >= 0xBE)
        return 0;
    return size;
}

void xml_write_text(struct slice text, struct buffer *xml)
{
    size_t done = 0, at = 0;
    while (at < text.size) {
        size_t size = plain_size(slice_skip(text, at));
        if (size) {
            at += size;
            continue;
        }
        if (at > done)
            json_put(xml, text.data + done, at - done);
        const char *escape = text.data[at] < 0x80 ? escape_of(text.data[at]) : NULL;
        if (escape) {
            json_put(xml, escape, strlen(escape));
            size = 1;
        } else {
            utf8_next(slice_skip(text, at), &size);
            utf8_append(xml, UTF8_REPLACEMENT);
        }
        done = at += size;
    }
    if (at > done)
        json_put(xml, text.data + done, at - done);
}

/* The document. */

static void put_nothing(struct buffer *xml)
{
    (void)xml;
}

static void put_begin(struct buffer *xml)
{
    XML_PUT(xml, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<NativeDicomModel "
                 "xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\" "
                 "xml:space=\"preserve\">");
}

static void put_end(struct buffer *xml)
{
    XML_PUT(xml, "</NativeDicomModel>\n");
}

static void put_member(struct model_writer *writer, uint32_t tag, uint16_t vr)
{
    struct buffer *xml = writer->out;
    const char letters[2] = { (char)(vr >> 8), (char)(vr & 0xFF) };
    struct slice creator = model_creator_of(writer, tag);
    const struct dictionary_entry *entry = dictionary_find(tag);
    XML_PUT(xml, "<DicomAttribute tag=\"");
    json_put_tag(creator.size ? tag & 0xFFFF00FF : tag, xml);
    XML_PUT(xml, "\" vr=\"");
    json_put(xml, letters, sizeof(letters));
    if (entry && entry->keyword) {
        XML_PUT(xml, "\" keyword=\"");
        json_put(xml, entry->keyword, strlen(entry->keyword));
    }
    if (creator.size) {
        XML_PUT(xml, "\" privateCreator=\"");
        xml_write_text(creator, xml);
    }
    XML_PUT(xml, "\">");
}

static void put_member_end(struct buffer *xml)
{
    XML_PUT(xml, "</DicomAttribute>");
}

static void put_item(struct buffer *xml, size_t number)
{
    buffer_append_format(xml, "<Item number=\"%zu\">", number);
}

static void put_item_end(struct buffer *xml)
{
    XML_PUT(xml, "</Item>");
}

static void put_sequence_end(struct buffer *xml, size_t item_count)
{
    (void)xml;
    (void)item_count;
}

/* Values. */

static void put_value(struct buffer *xml, size_t number, struct slice text)
{
    buffer_append_format(xml, "<Value number=\"%zu\">", number);
    xml_write_text(text, xml);
    XML_PUT(xml, "</Value>");
}

static void put_component(struct buffer *xml, const char *name, struct slice text)
{
    if (!text.size)
        return;
    buffer_append_format(xml, "<%s>", name);
    xml_write_text(text, xml);
    buffer_append_format(xml, "</%s>", name);
}

/* The five components of a group, carets between (PS3.5 6.2.1). */
static void put_group(struct buffer *xml, const char *name, struct slice group)
{
    static const char *const components[] = { "FamilyName", "GivenName", "MiddleName", "NamePrefix",
                                              "NameSuffix" };
    buffer_append_format(xml, "<%s>", name);
    for (size_t i = 0; i < sizeof(components) / sizeof(components[0]); i++) {
        const uint8_t *caret = i < 4 && group.size ? memchr(group.data, '^', group.size) : NULL;
        struct slice part = slice_take(group, caret ? (size_t)(caret - group.data) : group.size);
        group = slice_skip(group, part.size + (caret != NULL));
        put_component(xml, components[i], part);
    }
    buffer_append_format(xml, "</%s>", name);
}

static void put_name(struct buffer *xml, size_t number, struct slice name)
{
    static const char *const names[] = { "Alphabetic", "Ideographic", "Phonetic" };
    struct slice groups[MODEL_NAME_GROUPS];
    model_split_name(name, groups);
    buffer_append_format(xml, "<PersonName number=\"%zu\">", number);
    for (size_t i = 0; i < MODEL_NAME_GROUPS; i++)
        if (groups[i].size)
            put_group(xml, names[i], groups[i]);
    XML_PUT(xml, "</PersonName>");
}

/* One number of a binary value, by itself an element that JSON's writer knows; the quotes that it
 * puts around those beyond binary64 are no part of the number. */
static void put_number(struct model_writer *writer, const struct element *element,
                       enum model_kind kind, size_t number, struct slice unit)
{
    struct element one = *element;
    struct buffer *text = &writer->text;
    one.value = unit;
    one.size = unit.size;
    buffer_clear(text);
    if (kind == MODEL_TAG)
        json_put_tags(&one, text);
    else
        json_put_numbers(&one, text);
    struct slice written = buffer_slice(text);
    if (written.size >= 2 && written.data[0] == '"')
        written = slice_of(written.data + 1, written.size - 2);
    put_value(writer->out, number, written);
}

static void put_values(struct model_writer *writer, const struct element *element,
                       enum model_kind kind)
{
    size_t number = 0;
    bool beyond_ascii = false, more;
    if (kind == MODEL_NUMBER || kind == MODEL_TAG) {
        size_t unit = kind == MODEL_TAG ? 4 : vr_unit_size(element->vr);
        for (struct slice rest = element->value; rest.size; rest = slice_skip(rest, unit))
            put_number(writer, element, kind, ++number, slice_take(rest, unit));
        return;
    }
    if (!element->value.size)
        return;
    struct slice rest = model_text(element, kind, &writer->text, &beyond_ascii);
    writer->beyond_ascii |= beyond_ascii;
    if (!rest.size)
        return;
    do {
        struct slice value = model_next_value(element->vr, kind, &rest, &more);
        if (kind == MODEL_NAME)
            put_name(writer->out, ++number, value);
        else
            put_value(writer->out, ++number, value);
    } while (more);
}

static void put_utf8(struct buffer *xml)
{
    XML_PUT(xml, "<Value number=\"1\">ISO_IR 192</Value>");
}

static void put_binary(struct buffer *xml, const struct element *element)
{
    XML_PUT(xml, "<InlineBinary>");
    model_put_base64(element, xml);
    XML_PUT(xml, "</InlineBinary>");
}

static void put_bulk_data(struct model_writer *writer, const char *path)
{
    XML_PUT(writer->out, "<BulkData uri=\"");
    xml_write_text(slice_text(path), writer->out);
    XML_PUT(writer->out, "\"/>");
}

void xml_write_dataset(const struct dataset *dataset, const struct json_options *options,
                       struct buffer *xml)
{
    static const struct model_format format = {
        .names_creators = true,
        .separator = put_nothing,
        .begin = put_begin,
        .end = put_end,
        .member_begin = put_member,
        .member_end = put_member_end,
        .item_begin = put_item,
        .item_end = put_item_end,
        .sequence_end = put_sequence_end,
        .values = put_values,
        .utf8 = put_utf8,
        .binary = put_binary,
        .bulk_data = put_bulk_data,
    };
    model_write(&format, dataset, options, NULL, xml);
}
