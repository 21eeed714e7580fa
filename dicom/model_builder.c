/* SPDX-License-Identifier: MIT */
#include "dicom/model_builder.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/memory.h"

enum {
    DEFAULT_DATASET_SIZE = 64 << 20,
    DEFAULT_REFERENCES = 100000,
    MAX_URI = 4096,
    MAX_CREATORS = 4096, /* of all open items */
    TAG_FILE_TRANSFER_SYNTAX_UID = 0x00020010,
};

struct reference {
    size_t offset;
    uint32_t tag;
    uint16_t vr;
    bool nested;
    size_t uri; /* in uris */
    size_t uri_size;
};

/* An attribute of an object, from its tag on. */
struct member {
    uint32_t tag;
    size_t begin;
    size_t size; /* when the object is complete */
};

/* While they are sorted. */
struct placed {
    struct member member; /* first, for compare_members */
    size_t index;         /* in the order of the document */
};

/* Who has reserved a block of private elements, of the innermost items last. */
struct creator {
    uint32_t tag;
    char name[65]; /* LO: 64 characters; cut, longer ones are compared by as many */
};

/* A data set or item that is being put together, and the attribute of it that is open. */
struct level {
    size_t first_member;
    size_t first_creator;
    size_t begin;
    bool ascending;
    uint32_t tag;
    uint16_t vr;        /* 0: not told yet */
    bool is_sequence;   /* an item was there */
    bool has_reference; /* a BulkDataURI was */
    bool has_binary;    /* InlineBinary was, and stands in `value` */
    size_t first_reference;
};

uint32_t model_pixel_tag(enum model_pixel_attribute attribute)
{
    static const uint32_t tags[PIXEL_ATTRIBUTE_COUNT] = {
        TAG_SAMPLES_PER_PIXEL,
        TAG_PHOTOMETRIC_INTERPRETATION,
        TAG_PLANAR_CONFIGURATION,
        TAG_NUMBER_OF_FRAMES,
        TAG_ROWS,
        TAG_COLUMNS,
        TAG_BITS_ALLOCATED,
        TAG_BITS_STORED,
        TAG_HIGH_BIT,
        TAG_PIXEL_REPRESENTATION,
    };
    return tags[attribute];
}

static void begin_level(struct model_builder *builder)
{
    builder->levels[builder->depth] = (struct level){
        .first_member = builder->member_count,
        .first_creator = builder->creator_count,
        .begin = builder->bytes.size,
        .ascending = true,
    };
}

void model_builder_init(struct model_builder *builder, const struct model_limits *limits)
{
    size_t size = limits && limits->dataset_size ? limits->dataset_size : DEFAULT_DATASET_SIZE;
    memset(builder, 0, sizeof(*builder));
    builder->reference_limit = limits && limits->references ? limits->references
                                                            : DEFAULT_REFERENCES;
    builder->bytes = buffer_up_to(size);
    builder->tokens = buffer_up_to(size);
    builder->value = buffer_up_to(size);
    builder->uris = buffer_up_to(size);
    builder->levels = mem_alloc_array(DATASET_MAX_DEPTH + 1, sizeof(struct level));
    begin_level(builder);
}

void model_builder_release(struct model_builder *builder)
{
    buffer_release(&builder->bytes);
    buffer_release(&builder->tokens);
    buffer_release(&builder->value);
    buffer_release(&builder->uris);
    free(builder->references);
    free(builder->given);
    free(builder->members);
    free(builder->creators);
    free(builder->levels);
}

void model_builder_clear(struct model_builder *builder)
{
    builder->error = (struct error){ 0 };
    buffer_clear(&builder->bytes);
    buffer_clear(&builder->tokens);
    buffer_clear(&builder->uris);
    builder->token_count = 0;
    builder->reference_count = 0;
    builder->member_count = 0;
    builder->creator_count = 0;
    builder->depth = 0;
    builder->beyond_ascii = false;
    builder->charset_stated = false;
    free(builder->given);
    builder->given = NULL;
    memset(&builder->dataset, 0, sizeof(builder->dataset));
    begin_level(builder);
}

size_t model_builder_memory(const struct model_builder *builder)
{
    return builder->bytes.capacity + builder->tokens.capacity + builder->value.capacity +
           builder->uris.capacity +
           builder->member_capacity *
               (sizeof(struct member) + sizeof(struct placed) + sizeof(size_t)) +
           builder->reference_capacity * sizeof(struct reference) +
           builder->creator_count * sizeof(struct creator);
}

static struct level *level_of(struct model_builder *builder)
{
    return &builder->levels[builder->depth];
}

void model_builder_fail(struct model_builder *builder, const char *what)
{
    uint32_t tag = level_of(builder)->tag;
    if (builder->error.code == ERROR_NONE)
        error_set_tag(&builder->error, ERROR_INVALID, tag, "(%04X,%04X): %s", tag >> 16,
                      tag & 0xFFFF, what);
}

void model_builder_break(struct model_builder *builder, const char *what)
{
    uint32_t tag = level_of(builder)->tag;
    if (builder->fatal.code == ERROR_NONE)
        error_set_tag(&builder->fatal, ERROR_INVALID, tag, "(%04X,%04X): %s", tag >> 16,
                      tag & 0xFFFF, what);
}

/* Attributes. */

static void put_tag(struct model_builder *builder, uint32_t tag)
{
    buffer_append_u16le(&builder->bytes, (uint16_t)(tag >> 16));
    buffer_append_u16le(&builder->bytes, (uint16_t)tag);
}

static void add_member(struct model_builder *builder, uint32_t tag)
{
    struct level *level = level_of(builder);
    if (builder->member_count > level->first_member)
        level->ascending &= tag > builder->members[builder->member_count - 1].tag;
    if (builder->member_count == builder->member_capacity) {
        builder->member_capacity = builder->member_capacity ? 2 * builder->member_capacity : 128;
        builder->members = mem_resize_array(builder->members, builder->member_capacity,
                                            sizeof(struct member));
    }
    builder->members[builder->member_count++] = (struct member){ tag, builder->bytes.size, 0 };
}

void model_builder_begin(struct model_builder *builder, uint32_t tag)
{
    struct level *level = level_of(builder);
    add_member(builder, tag);
    level->tag = tag;
    level->vr = 0;
    level->is_sequence = false;
    level->has_reference = false;
    level->has_binary = false;
    level->first_reference = builder->reference_count;
    buffer_clear(&builder->tokens);
    builder->token_count = 0;
}

void model_builder_vr(struct model_builder *builder, struct slice letters)
{
    uint16_t vr = letters.size == 2 ? VR(letters.data[0], letters.data[1]) : 0;
    if (!vr_is_known(vr)) {
        model_builder_fail(builder, "no such VR");
        vr = VR_UN;
    }
    level_of(builder)->vr = vr;
}

uint16_t model_builder_present_vr(const struct model_builder *builder)
{
    return builder->levels[builder->depth].vr;
}

static void add_token(struct model_builder *builder, enum model_token kind, struct slice text)
{
    if (text.size > UINT32_MAX) {
        builder->tokens.overflowed = true;
        return;
    }
    buffer_append_byte(&builder->tokens, (uint8_t)kind);
    buffer_append_u32le(&builder->tokens, (uint32_t)text.size);
    buffer_append(&builder->tokens, text);
    builder->token_count++;
}

/* Items stand in the bytes at once; what came before the first one is empty items. */
static void begin_sequence(struct model_builder *builder)
{
    struct level *level = level_of(builder);
    struct encoder encoder = { &builder->bytes, true };
    level->is_sequence = true;
    encode_sequence_begin(&encoder, level->tag);
}

static void put_empty_items(struct model_builder *builder)
{
    struct encoder encoder = { &builder->bytes, true };
    struct slice tokens = buffer_slice(&builder->tokens);
    struct token token;
    while (model_token_next(&tokens, &token)) {
        if (token.kind != TOKEN_EMPTY)
            model_builder_fail(builder, "values stand among items");
        encode_item_begin(&encoder);
        encode_item_end(&encoder);
    }
    buffer_clear(&builder->tokens);
    builder->token_count = 0;
}

void model_builder_value(struct model_builder *builder, enum model_token token, struct slice text)
{
    add_token(builder, token, text);
    if (level_of(builder)->is_sequence)
        put_empty_items(builder);
}

void model_builder_name(struct model_builder *builder, const struct slice groups[MODEL_NAME_GROUPS])
{
    size_t count = MODEL_NAME_GROUPS;
    uint16_t vr = level_of(builder)->vr;
    if (vr && vr != VR_PN)
        model_builder_fail(builder, "a person name stands where its VR has none");
    while (count && !groups[count - 1].size)
        count--;
    buffer_clear(&builder->value);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buffer_append_byte(&builder->value, '=');
        buffer_append(&builder->value, groups[i]);
    }
    add_token(builder, count ? TOKEN_TEXT : TOKEN_EMPTY, buffer_slice(&builder->value));
}

void model_builder_item_begin(struct model_builder *builder)
{
    struct encoder encoder = { &builder->bytes, true };
    struct level *level = level_of(builder);
    if (level->vr && level->vr != VR_SQ)
        model_builder_fail(builder, "items stand where its VR has none");
    if (!level->is_sequence)
        begin_sequence(builder);
    put_empty_items(builder);
    encode_item_begin(&encoder);
    if (builder->depth == DATASET_MAX_DEPTH) {
        model_builder_break(builder, "sequences are nested too deeply");
        return;
    }
    builder->depth++;
    begin_level(builder);
}

void model_builder_inline(struct model_builder *builder, struct slice base64, bool spaces)
{
    level_of(builder)->has_binary = true;
    if (!model_base64_decode(base64, spaces, &builder->value))
        model_builder_fail(builder, "InlineBinary is no base64");
}

void model_builder_bulk_data(struct model_builder *builder, struct slice uri)
{
    struct level *level = level_of(builder);
    if (!uri.size || uri.size > MAX_URI)
        model_builder_fail(builder, "a URI of bulk data is empty or too long");
    if (builder->reference_count == builder->reference_limit) {
        model_builder_break(builder, "too many values are bulk data");
        return;
    }
    if (builder->reference_count == builder->reference_capacity) {
        builder->reference_capacity = builder->reference_capacity ? 2 * builder->reference_capacity
                                                                  : 8;
        builder->references = mem_resize_array(builder->references, builder->reference_capacity,
                                               sizeof(struct reference));
    }
    level->has_reference = true;
    builder->references[builder->reference_count++] = (struct reference){
        .tag = level->tag,
        .nested = builder->depth > 0,
        .uri = builder->uris.size,
        .uri_size = uri.size,
    };
    buffer_append(&builder->uris, uri);
}

/* The end of an attribute. */

static bool is_creator(uint32_t tag)
{
    return tag_is_private(tag) && (tag & 0xFFFF) >= 0x10 && (tag & 0xFFFF) <= 0xFF;
}

static void add_creator(struct model_builder *builder, uint32_t tag, struct slice name)
{
    if (builder->creator_count == MAX_CREATORS) {
        model_builder_break(builder, "too many private creators");
        return;
    }
    builder->creators = mem_resize_array(builder->creators, builder->creator_count + 1,
                                         sizeof(struct creator));
    struct creator *creator = &builder->creators[builder->creator_count++];
    *creator = (struct creator){ .tag = tag };
    name = slice_take(name, sizeof(creator->name) - 1);
    if (name.size)
        memcpy(creator->name, name.data, name.size);
}

static void reserve_block(struct model_builder *builder, uint32_t tag, struct slice creator)
{
    model_builder_begin(builder, tag);
    model_builder_vr(builder, slice_text("LO"));
    model_builder_value(builder, TOKEN_TEXT, creator);
    model_builder_end(builder);
}

uint32_t model_builder_private_tag(struct model_builder *builder, uint32_t tag,
                                   struct slice creator)
{
    bool used[256] = { 0 };
    uint32_t group = tag & 0xFFFF0000;
    uint32_t block = 0x10;
    if (!tag_is_private(tag) || (tag & 0xFFFF) > 0xFF)
        return tag;
    for (size_t i = level_of(builder)->first_creator; i < builder->creator_count; i++) {
        const struct creator *known = &builder->creators[i];
        if ((known->tag & 0xFFFF0000) != group)
            continue;
        if (slice_equals_text(slice_take(creator, sizeof(known->name) - 1), known->name))
            return group | (known->tag & 0xFF) << 8 | (tag & 0xFF);
        used[known->tag & 0xFF] = true;
    }
    while (block <= 0xFF && used[block])
        block++;
    if (block > 0xFF) {
        model_builder_fail(builder, "all blocks of its group are reserved");
        block = 0xFF;
    } else {
        reserve_block(builder, group | block, creator);
    }
    return group | block << 8 | (tag & 0xFF);
}

/* Elements of another model: commands, File Meta, group lengths (PS3.18 F.2.1). */
static bool is_left_out(uint32_t tag)
{
    return (tag & 0xFFFF) == 0 || tag >> 16 == 0x0000 || tag >> 16 == 0x0002;
}

static void copy_uid(struct slice value, char uid[UID_SIZE])
{
    while (value.size && (value.data[value.size - 1] == ' ' || !value.data[value.size - 1]))
        value.size--;
    if (value.size < UID_SIZE && value.size && !memchr(value.data, 0, value.size))
        memcpy(uid, value.data, value.size);
}

static void note_pixels(struct model_builder *builder, uint32_t tag, uint16_t vr,
                        struct slice value)
{
    struct model_pixels *pixels = &builder->dataset.pixels;
    for (size_t i = 0; i < PIXEL_ATTRIBUTE_COUNT; i++) {
        if (model_pixel_tag((enum model_pixel_attribute)i) != tag || !value.size)
            continue;
        pixels->attributes[i].present = true;
        if (vr == VR_US && value.size >= 2)
            pixels->attributes[i].number = get_u16le(value.data);
        for (size_t k = 0; vr == VR_IS && k < value.size && k < 9; k++)
            if (value.data[k] >= '0' && value.data[k] <= '9')
                pixels->attributes[i].number = pixels->attributes[i].number * 10 +
                                               (uint32_t)(value.data[k] - '0');
        if (i == PIXEL_PHOTOMETRIC_INTERPRETATION &&
            value.size < sizeof(pixels->photometric_interpretation))
            memcpy(pixels->photometric_interpretation, value.data, value.size);
    }
}

/* What is asked for by name later. */
static void note_value(struct model_builder *builder, uint32_t tag, uint16_t vr, struct slice value)
{
    struct model_dataset *dataset = &builder->dataset;
    if (is_creator(tag))
        add_creator(builder, tag, value);
    if (builder->depth)
        return;
    switch (tag) {
    case TAG_FILE_TRANSFER_SYNTAX_UID:
        copy_uid(value, dataset->transfer_syntax);
        break;
    case TAG_SOP_CLASS_UID:
        copy_uid(value, dataset->sop_class);
        break;
    case TAG_SOP_INSTANCE_UID:
        copy_uid(value, dataset->instance);
        break;
    case TAG_STUDY_INSTANCE_UID:
        copy_uid(value, dataset->study);
        break;
    case TAG_SERIES_INSTANCE_UID:
        copy_uid(value, dataset->series);
        break;
    default:
        note_pixels(builder, tag, vr, value);
    }
}

/* Text where the dictionary has numbers, or items where it has none, and the reverse: what was
 * meant cannot be told. Unknown VR fits everywhere (PS3.5 6.2.2). */
static bool contradicts_dictionary(uint32_t tag, uint16_t vr)
{
    const struct dictionary_entry *entry = dictionary_find(tag);
    if (!entry || vr == VR_UN || vr == entry->vr)
        return false;
    return (vr == VR_SQ) != (entry->vr == VR_SQ) || vr_is_text(vr) != vr_is_text(entry->vr);
}

static void end_reference(struct model_builder *builder, struct level *level)
{
    struct reference *reference = &builder->references[builder->reference_count - 1];
    if (level->vr == VR_SQ)
        model_builder_fail(builder, "items cannot be bulk data");
    put_tag(builder, level->tag);
    reference->vr = level->vr;
    reference->offset = builder->bytes.size;
}

static void end_values(struct model_builder *builder, struct level *level)
{
    struct encoder encoder = { &builder->bytes, true };
    const char *why;
    uint16_t vr = level->vr;
    if (level->has_binary && model_kind_of(vr) != MODEL_BINARY)
        model_builder_fail(builder, "InlineBinary stands where its VR has values");
    if (!level->has_binary && !model_values_encode(vr, buffer_slice(&builder->tokens),
                                                   &builder->value, &builder->beyond_ascii, &why))
        model_builder_fail(builder, why);
    struct slice value = buffer_slice(&builder->value);
    if (level->tag == TAG_SPECIFIC_CHARACTER_SET) {
        if (value.size)
            value = slice_text("ISO_IR 192");
        builder->charset_stated |= !builder->depth && value.size;
    }
    note_value(builder, level->tag, vr, value);
    encode_bytes(&encoder, level->tag, vr, value);
}

static void end_sequence(struct model_builder *builder, struct level *level)
{
    struct encoder encoder = { &builder->bytes, true };
    if (!level->is_sequence)
        begin_sequence(builder);
    put_empty_items(builder);
    encode_sequence_end(&encoder);
    if (level->has_binary)
        model_builder_fail(builder, "InlineBinary stands where its VR has items");
}

static void drop_member(struct model_builder *builder, struct level *level)
{
    builder->bytes.size = builder->members[--builder->member_count].begin;
    builder->reference_count = level->first_reference;
}

void model_builder_end(struct model_builder *builder)
{
    struct level *level = level_of(builder);
    size_t forms = (builder->token_count || level->is_sequence) + (size_t)level->has_binary +
                   level->has_reference;
    if (!level->vr) {
        model_builder_fail(builder, "its VR is missing");
        level->vr = level->is_sequence ? VR_SQ : VR_UN;
    }
    if (forms > 1)
        model_builder_fail(builder, "more than one of values, InlineBinary and bulk data");
    if (level->vr != VR_SQ && level->is_sequence)
        model_builder_fail(builder, "items stand where its VR has none");
    if (contradicts_dictionary(level->tag, level->vr))
        model_builder_fail(builder, "its VR is another");
    if (level->is_sequence || (level->vr == VR_SQ && !level->has_reference))
        end_sequence(builder, level);
    else if (level->has_reference)
        end_reference(builder, level);
    else
        end_values(builder, level);
    if (is_left_out(level->tag))
        drop_member(builder, level);
    if (builder->bytes.overflowed || builder->tokens.overflowed || builder->value.overflowed)
        model_builder_break(builder, "the data set is too large");
    buffer_clear(&builder->tokens);
    builder->token_count = 0;
}

/* The end of an object. */

static int compare_members(const void *a, const void *b)
{
    const struct member *first = a, *second = b;
    if (first->tag != second->tag)
        return first->tag < second->tag ? -1 : 1;
    return first->begin < second->begin ? -1 : first->begin > second->begin;
}

static int compare_references(const void *a, const void *b)
{
    const struct reference *first = a, *second = b;
    return first->offset < second->offset ? -1 : first->offset > second->offset;
}

/* References move with the member that they stand in. */
static void move_references(struct model_builder *builder, const struct member *members,
                            const size_t *begins, size_t count)
{
    size_t end = builder->reference_count;
    size_t first = end;
    while (first && builder->references[first - 1].offset > members[0].begin)
        first--;
    for (size_t i = first, m = 0; i < end; i++) {
        size_t offset = builder->references[i].offset;
        while (m + 1 < count && members[m + 1].begin < offset)
            m++;
        builder->references[i].offset = offset - members[m].begin + begins[m];
    }
    if (end > first)
        qsort(builder->references + first, end - first, sizeof(struct reference),
              compare_references);
}

/* Puts the members of the innermost object in the order of their tags. */
static void sort_members(struct model_builder *builder)
{
    struct level *level = level_of(builder);
    struct member *members = builder->members + level->first_member;
    size_t count = builder->member_count - level->first_member;
    size_t size = builder->bytes.size - level->begin;
    uint8_t *before = mem_copy(builder->bytes.data + level->begin, size);
    struct placed *sorted = mem_alloc_array(count, sizeof(*sorted));
    size_t *begins = mem_alloc_array(count, sizeof(*begins));
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct placed){ members[i], i };
    qsort(sorted, count, sizeof(*sorted), compare_members);
    size_t at = level->begin;
    for (size_t i = 0; i < count; i++) {
        const struct member *member = &sorted[i].member;
        if (i && member->tag == sorted[i - 1].member.tag)
            model_builder_break(builder, "an attribute is there twice");
        memcpy(builder->bytes.data + at, before + (member->begin - level->begin), member->size);
        begins[sorted[i].index] = at;
        at += member->size;
    }
    move_references(builder, members, begins, count);
    for (size_t i = 0; i < count; i++) {
        size_t begin = begins[sorted[i].index];
        members[i] = sorted[i].member;
        members[i].begin = begin;
    }
    free(begins);
    free(sorted);
    free(before);
}

static void end_object(struct model_builder *builder)
{
    struct level *level = level_of(builder);
    size_t end = builder->bytes.size;
    for (size_t i = builder->member_count; i-- > level->first_member;) {
        builder->members[i].size = end - builder->members[i].begin;
        end = builder->members[i].begin;
    }
    if (!level->ascending && !builder->bytes.overflowed)
        sort_members(builder);
}

void model_builder_item_end(struct model_builder *builder)
{
    struct encoder encoder = { &builder->bytes, true };
    if (!builder->depth)
        return;
    end_object(builder);
    builder->member_count = level_of(builder)->first_member;
    builder->creator_count = level_of(builder)->first_creator;
    builder->depth--;
    encode_item_end(&encoder);
}

/* Text beyond ASCII is in UTF-8, and this is said (PS3.18 F.2: what the document says of its source
 * does not hold any more). */
static void state_charset(struct model_builder *builder)
{
    if (!builder->beyond_ascii || builder->charset_stated)
        return;
    /* It stands there without a value: the default repertoire, which the text is not in. */
    for (size_t i = 0; i < builder->member_count; i++) {
        if (builder->members[i].tag != TAG_SPECIFIC_CHARACTER_SET)
            continue;
        model_builder_fail(builder, "text beyond ASCII has no character set");
        return;
    }
    model_builder_begin(builder, TAG_SPECIFIC_CHARACTER_SET);
    model_builder_vr(builder, slice_text("CS"));
    model_builder_value(builder, TOKEN_TEXT, slice_text("ISO_IR 192"));
    model_builder_end(builder);
}

static void place_pixels(struct model_builder *builder)
{
    for (size_t i = 0; i < PIXEL_ATTRIBUTE_COUNT; i++) {
        uint32_t tag = model_pixel_tag((enum model_pixel_attribute)i);
        size_t m = 0;
        while (m < builder->member_count && builder->members[m].tag < tag)
            m++;
        bool found = m < builder->member_count && builder->members[m].tag == tag;
        builder->dataset.pixels.attributes[i].place = m < builder->member_count
                                                          ? builder->members[m].begin
                                                          : builder->bytes.size;
        builder->dataset.pixels.attributes[i].size = found ? builder->members[m].size : 0;
    }
}

static void give_references(struct model_builder *builder)
{
    struct model_reference *given = mem_alloc_array(builder->reference_count, sizeof(*given));
    for (size_t i = 0; i < builder->reference_count; i++) {
        const struct reference *reference = &builder->references[i];
        given[i] = (struct model_reference){
            .offset = reference->offset,
            .tag = reference->tag,
            .vr = reference->vr,
            .nested = reference->nested,
            .uri = slice_take(slice_skip(buffer_slice(&builder->uris), reference->uri),
                              reference->uri_size),
        };
    }
    free(builder->given);
    builder->given = given;
    builder->dataset.references = given;
    builder->dataset.reference_count = builder->reference_count;
}

void model_builder_finish(struct model_builder *builder)
{
    state_charset(builder);
    end_object(builder);
    if (builder->bytes.overflowed || builder->uris.overflowed)
        model_builder_break(builder, "the data set is too large");
    if (builder->fatal.code != ERROR_NONE)
        return;
    builder->dataset.error = builder->error;
    if (builder->error.code != ERROR_NONE)
        return;
    place_pixels(builder);
    give_references(builder);
    builder->dataset.bytes = buffer_slice(&builder->bytes);
}
