/* SPDX-License-Identifier: MIT */
#include "dicom/coerce.h"

#include "base/bytes.h"
#include "dicom/vr_table.h"

enum {
    MODIFIED_ATTRIBUTES = 0x04000550,
    ORIGINAL_ATTRIBUTES = 0x04000561,
    MODIFICATION_DATE_TIME = 0x04000562,
    MODIFYING_SYSTEM = 0x04000563,
    SOURCE_OF_PREVIOUS_VALUES = 0x04000564,
    REASON = 0x04000565,
    ITEM_HEADER = 8, /* also of a delimiter */
    ITEM_SIZE_MAX = 512 << 10,
};

/* How elements are written (PS3.5 7.1). */
struct form {
    bool explicit_vr;
    bool big_endian;
};

static void put_u16(const struct form *form, uint16_t value, struct buffer *out)
{
    uint8_t bytes[2] = { (uint8_t)value, (uint8_t)(value >> 8) };
    uint8_t swapped[2] = { bytes[1], bytes[0] };
    buffer_append(out, slice_of(form->big_endian ? swapped : bytes, 2));
}

static void put_u32(const struct form *form, uint32_t value, struct buffer *out)
{
    uint16_t low = (uint16_t)value, high = (uint16_t)(value >> 16);
    put_u16(form, form->big_endian ? high : low, out);
    put_u16(form, form->big_endian ? low : high, out);
}

static void put_tag(const struct form *form, uint32_t tag, struct buffer *out)
{
    put_u16(form, (uint16_t)(tag >> 16), out);
    put_u16(form, (uint16_t)tag, out);
}

static void put_header(const struct form *form, uint32_t tag, uint16_t vr, uint32_t length,
                       struct buffer *out)
{
    put_tag(form, tag, out);
    if (!form->explicit_vr || tag >> 16 == 0xFFFE) {
        put_u32(form, length, out);
        return;
    }
    buffer_append_byte(out, (uint8_t)(vr >> 8));
    buffer_append_byte(out, (uint8_t)vr);
    if (!vr_has_long_form(vr)) {
        put_u16(form, (uint16_t)length, out);
        return;
    }
    put_u16(form, 0, out);
    put_u32(form, length, out);
}

static void put_element(const struct form *form, uint32_t tag, uint16_t vr, struct slice value,
                        struct buffer *out)
{
    uint32_t padded = (uint32_t)(value.size + value.size % 2);
    put_header(form, tag, vr, padded, out);
    buffer_append(out, value);
    if (padded != value.size)
        buffer_append_byte(out, vr_padding(vr));
}

static void put_sequence_of_one(const struct form *form, uint32_t tag, const struct buffer *item,
                                struct buffer *out)
{
    put_header(form, tag, VR_SQ, (uint32_t)item->size + ITEM_HEADER, out);
    put_header(form, TAG_ITEM, 0, (uint32_t)item->size, out);
    buffer_append(out, buffer_slice(item));
}

/* Old values. */

static bool old_value(const struct dataset *header, uint32_t tag, struct slice *value,
                      struct error *err)
{
    struct element element;
    *value = slice_of(NULL, 0);
    if (!dataset_find(header, tag, &element))
        return true;
    if (element.elided || element.undefined_length || element.size > COERCED_VALUE_MAX)
        return error_set_tag(err, ERROR_INVALID, tag, "(%04X,%04X) is too long to be coerced",
                             tag >> 16, tag & 0xFFFF);
    *value = element.value;
    return true;
}

/* The items of a sequence as they stand, as they may stand in this form: those that are in implicit
 * VR as UN (PS3.5 6.2.2). */
static bool put_old_items(const struct form *form, const struct element *element,
                          struct buffer *out, struct error *err)
{
    size_t delimiter = element->undefined_length ? ITEM_HEADER : 0;
    bool fits = element->implicit || (form->explicit_vr && form->big_endian == element->big_endian);
    if (!fits || element->elided || element->value.size != element->size ||
        element->size < delimiter || element->size > COERCED_VALUE_MAX)
        return error_set_tag(err, ERROR_INVALID, element->tag,
                             "(%04X,%04X) is too long to be coerced, or cannot be kept",
                             element->tag >> 16, element->tag & 0xFFFF);
    put_element(form, element->tag, element->implicit && form->explicit_vr ? VR_UN : VR_SQ,
                slice_take(element->value, element->value.size - delimiter), out);
    return true;
}

static bool changes_charset(const struct coercion *coercions, size_t count)
{
    return count && coercions[0].tag == TAG_SPECIFIC_CHARACTER_SET;
}

/* Attributes of one reason as they were; what was absent is empty. Old texts stand in the old
 * character set, which the item then has to say itself. */
static bool put_modified(const struct form *form, const struct dataset *header,
                         const struct coercion *coercions, size_t count, bool corrects,
                         struct buffer *out, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct slice value;
        struct element sequence;
        bool is_charset = i == 0 && changes_charset(coercions, count);
        if (coercions[i].corrects != corrects && !is_charset)
            continue;
        if (coercions[i].vr == VR_SQ && dataset_find(header, coercions[i].tag, &sequence)) {
            if (!put_old_items(form, &sequence, out, err))
                return false;
            continue;
        }
        if (!old_value(header, coercions[i].tag, &value, err))
            return false;
        put_element(form, coercions[i].tag, coercions[i].vr, value, out);
    }
    return true;
}

static bool has_reason(const struct coercion *coercions, size_t count, bool corrects)
{
    for (size_t i = 0; i < count; i++)
        if (coercions[i].corrects == corrects)
            return true;
    return false;
}

/* An item with its header. */
static bool put_item(const struct form *form, const struct dataset *header,
                     const struct coercion *coercions, size_t count, bool corrects,
                     const struct coercion_note *note, struct buffer *out, struct error *err)
{
    struct buffer modified = buffer_up_to(ITEM_SIZE_MAX);
    struct buffer item = buffer_up_to(ITEM_SIZE_MAX);
    bool ok = put_modified(form, header, coercions, count, corrects, &modified, err);
    if (ok) {
        put_sequence_of_one(form, MODIFIED_ATTRIBUTES, &modified, &item);
        put_element(form, MODIFICATION_DATE_TIME, VR_DT, slice_text(note->date_time), &item);
        put_element(form, MODIFYING_SYSTEM, VR_LO, slice_text(note->system), &item);
        put_element(form, SOURCE_OF_PREVIOUS_VALUES, VR_LO, slice_text(note->source), &item);
        put_element(form, REASON, VR_CS, slice_text(corrects ? "CORRECT" : "COERCE"), &item);
        put_header(form, TAG_ITEM, 0, (uint32_t)item.size, out);
        buffer_append(out, buffer_slice(&item));
        ok = buffer_check(&item, "original attributes", err);
    }
    buffer_release(&modified);
    buffer_release(&item);
    return ok;
}

static bool put_items(const struct form *form, const struct dataset *header,
                      const struct coercion *coercions, size_t count,
                      const struct coercion_note *note, struct buffer *out, struct error *err)
{
    for (int corrects = 0; corrects < 2; corrects++)
        if (has_reason(coercions, count, corrects) &&
            !put_item(form, header, coercions, count, corrects, note, out, err))
            return false;
    return true;
}

bool coerce_items(const struct dataset *header, const struct coercion *coercions, size_t count,
                  const struct coercion_note *note, struct buffer *out, struct error *err)
{
    const struct form form = { .explicit_vr = true };
    struct buffer items = buffer_up_to(2 * ITEM_SIZE_MAX);
    struct element charset;
    bool ok = put_items(&form, header, coercions, count, note, &items, err) &&
              buffer_check(&items, "original attributes", err);
    if (ok) {
        if (dataset_find(header, TAG_SPECIFIC_CHARACTER_SET, &charset) && !charset.elided)
            put_element(&form, TAG_SPECIFIC_CHARACTER_SET, VR_CS, charset.value, out);
        put_header(&form, ORIGINAL_ATTRIBUTES, VR_SQ, (uint32_t)items.size, out);
        buffer_append(out, buffer_slice(&items));
        ok = buffer_check(out, "original attributes", err);
    }
    buffer_release(&items);
    return ok;
}

/* Places. */

/* Where an attribute stands in the data set, or would. */
struct place {
    uint32_t tag;
    bool is_found;
    bool is_sequence; /* one whose items were walked to their end */
    uint64_t start;   /* of its header; of what comes behind it when it is not there */
    uint64_t end;
    struct element element;
};

/* `places` in ascending order of their tags. */
static bool find_places(const struct dataset *header, struct place *places, size_t count,
                        struct error *err)
{
    struct walk walk = dataset_walk(header);
    struct element element;
    struct place *open = NULL;
    bool has_start[COERCIONS_MAX + 1] = { false };
    for (;;) {
        uint64_t start = walk.position;
        bool is_top = !walk.depth;
        enum walk_event event = walk_next(&walk, &element);
        if (event == WALK_END)
            break;
        for (size_t i = 0; is_top && i < count; i++) {
            if (element.tag == places[i].tag && !places[i].is_found) {
                places[i].is_found = has_start[i] = true;
                places[i].is_sequence = event == WALK_SEQUENCE;
                places[i].start = start;
                places[i].element = element;
                open = &places[i];
            } else if (element.tag > places[i].tag && !has_start[i]) {
                has_start[i] = true;
                places[i].start = places[i].end = start;
            }
        }
        if (open && !walk.depth) {
            open->end = walk.position;
            open = NULL;
        }
    }
    if (walk.broken)
        return error_set(err, ERROR_INVALID, "the data set cannot be walked");
    for (size_t i = 0; i < count; i++)
        if (!has_start[i])
            places[i].start = places[i].end = walk.position;
    return true;
}

static void add_edit(struct edit_list *edits, uint64_t offset, uint64_t removed, size_t before)
{
    edits->edits[edits->count++] = (struct edit){ offset, removed, edits->bytes.size - before };
}

/* Further items of Original Attributes Sequence, behind those that are there. */
static bool edit_sequence(const struct dataset *header, const struct place *place,
                          const struct coercion *coercions, size_t count,
                          const struct coercion_note *note, struct edit_list *edits,
                          struct error *err)
{
    const struct transfer_syntax *syntax = dataset_syntax(header);
    const struct form around = { syntax->explicit_vr, syntax->big_endian };
    struct form form = around;
    struct buffer items = buffer_up_to(2 * ITEM_SIZE_MAX);
    uint64_t length = 0;
    bool is_unknown = place->is_sequence && place->element.implicit && syntax->explicit_vr;
    if (place->is_found && !place->is_sequence && place->element.size)
        return error_set_tag(err, ERROR_INVALID, ORIGINAL_ATTRIBUTES,
                             "Original Attributes Sequence cannot be read");
    if (is_unknown) /* it came as UN, whose items are in implicit VR (PS3.5 6.2.2) */
        form = (struct form){ false, false };
    bool ok = put_items(&form, header, coercions, count, note, &items, err) &&
              buffer_check(&items, "original attributes", err);
    size_t before = edits->bytes.size;
    if (ok && place->is_found && place->element.undefined_length) {
        buffer_append(&edits->bytes, buffer_slice(&items));
        add_edit(edits, place->end - ITEM_HEADER, 0, before);
    } else if (ok) {
        length = place->end - (place->is_found ? place->element.offset : place->start);
        put_header(&around, ORIGINAL_ATTRIBUTES, is_unknown ? VR_UN : VR_SQ,
                   (uint32_t)(length + items.size), &edits->bytes);
        add_edit(edits, place->start, place->is_found ? place->element.offset - place->start : 0,
                 before);
        before = edits->bytes.size;
        buffer_append(&edits->bytes, buffer_slice(&items));
        add_edit(edits, place->end, 0, before);
    }
    ok = ok && (length + items.size < UINT32_MAX ||
                error_set(err, ERROR_LIMIT, "original attributes are too long"));
    buffer_release(&items);
    return ok;
}

bool coerce_edits(const struct dataset *header, const struct coercion *coercions, size_t count,
                  const struct coercion_note *note, struct edit_list *edits, struct error *err)
{
    const struct transfer_syntax *syntax = dataset_syntax(header);
    const struct form form = { syntax->explicit_vr, syntax->big_endian };
    struct place places[COERCIONS_MAX + 1] = { { .tag = 0 } };
    bool is_done = false;
    edits->count = 0;
    edits->bytes = buffer_up_to(4 * ITEM_SIZE_MAX);
    if (syntax->deflated)
        return error_set(err, ERROR_INVALID, "a deflated data set cannot be coerced");
    if (count > COERCIONS_MAX)
        return error_set(err, ERROR_LIMIT, "too many attributes to be coerced");
    size_t own = 0; /* the sequence's place among those of the attributes */
    while (own < count && coercions[own].tag < ORIGINAL_ATTRIBUTES)
        own++;
    for (size_t i = 0; i <= count; i++)
        places[i].tag = i == own ? ORIGINAL_ATTRIBUTES : coercions[i < own ? i : i - 1].tag;
    if (!find_places(header, places, count + 1, err))
        return false;
    for (size_t i = 0; i <= count; i++) {
        const struct place *place = &places[i];
        size_t before = edits->bytes.size;
        if (edits->count) { /* elements in a wrong order are not worked upon */
            const struct edit *last = &edits->edits[edits->count - 1];
            if (place->start < last->offset + last->removed)
                return error_set_tag(err, ERROR_INVALID, place->tag,
                                     "the data set is not in the order of its tags");
        }
        if (i == own) {
            if (!edit_sequence(header, place, coercions, count, note, edits, err))
                return false;
            is_done = true;
            continue;
        }
        const struct coercion *coercion = &coercions[is_done ? i - 1 : i];
        put_element(&form, coercion->tag, coercion->vr, coercion->value, &edits->bytes);
        add_edit(edits, place->start, place->end - place->start, before);
    }
    return buffer_check(&edits->bytes, "coerced attributes", err);
}

void edit_list_release(struct edit_list *edits)
{
    buffer_release(&edits->bytes);
}
