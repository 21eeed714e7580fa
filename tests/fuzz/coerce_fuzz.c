/* SPDX-License-Identifier: MIT */
/* A data set behind one byte that chooses the transfer syntax, whose attributes are coerced: when
 * that is not refused, the edited bytes must pass the scan, say the new values, and have the old
 * ones in an item of Original Attributes Sequence. */
#include <stdlib.h>

#include "dicom/coerce.h"
#include "dicom/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const syntaxes[] = {
    UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_BIG_ENDIAN,
    UID_DEFLATED_EXPLICIT,      UID_JPEG_BASELINE,          UID_RLE_LOSSLESS,
};
enum { ORIGINAL_ATTRIBUTES = 0x04000561 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static struct scan *scan_all(struct slice bytes, const struct transfer_syntax *syntax)
{
    struct error err;
    struct scan *scan = scan_new(syntax, &scan_default_limits);
    if (scan_write(scan, bytes, &err) && scan_finish(scan, &err))
        return scan;
    scan_free(scan);
    return NULL;
}

static struct dataset *open_header(const struct scan *scan, const struct transfer_syntax *syntax)
{
    struct error err;
    struct dataset *header;
    size_t count;
    const struct elision *elisions = scan_elisions(scan, &count);
    return dataset_open(scan_header(scan), syntax, elisions, count, &header, &err) ? header : NULL;
}

static void apply(struct slice bytes, const struct edit_list *edits, struct buffer *edited)
{
    struct slice inserted = buffer_slice(&edits->bytes);
    uint64_t at = 0;
    for (size_t i = 0; i < edits->count; i++) {
        const struct edit *edit = &edits->edits[i];
        require(edit->offset >= at && edit->removed <= bytes.size - edit->offset);
        buffer_append(edited, slice_of(bytes.data + at, (size_t)(edit->offset - at)));
        buffer_append(edited, slice_take(inserted, edit->inserted));
        inserted = slice_skip(inserted, edit->inserted);
        at = edit->offset + edit->removed;
    }
    require(!inserted.size && at <= bytes.size);
    buffer_append(edited, slice_skip(bytes, (size_t)at));
}

static void check(struct slice edited, const struct transfer_syntax *syntax, size_t items)
{
    char text[64];
    struct scan *scan = scan_all(edited, syntax);
    require(scan != NULL);
    struct dataset *header = open_header(scan, syntax);
    require(header != NULL);
    dataset_string(header, TAG_PATIENT_ID, text, sizeof(text));
    require(strcmp(text, "NEW") == 0);
    require(dataset_item_count(header, ORIGINAL_ATTRIBUTES) > items);
    dataset_close(header);
    scan_free(scan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct coercion coercions[] = {
        { TAG_SPECIFIC_CHARACTER_SET, VR_CS, true, { (const uint8_t *)"ISO_IR 100", 10 } },
        { TAG_PATIENT_ID, VR_LO, false, { (const uint8_t *)"NEW", 3 } },
    };
    static const struct coercion_note note = { "20260102", "US", "THEM" };
    if (!size)
        return 0;
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(syntaxes[data[0] % (sizeof(syntaxes) / sizeof(syntaxes[0]))]));
    struct slice bytes = slice_of(data + 1, size - 1);
    struct scan *scan = scan_all(bytes, syntax);
    struct dataset *header = scan ? open_header(scan, syntax) : NULL;
    struct edit_list edits;
    struct buffer edited = buffer_up_to(8 << 20);
    struct error err;
    if (header) {
        size_t items = dataset_item_count(header, ORIGINAL_ATTRIBUTES);
        if (coerce_edits(header, coercions, 2, &note, &edits, &err)) {
            apply(bytes, &edits, &edited);
            check(buffer_slice(&edited), syntax, items);
        }
        edit_list_release(&edits);
    }
    dataset_close(header);
    scan_free(scan);
    buffer_release(&edited);
    return 0;
}
