/* SPDX-License-Identifier: MIT */
#include "archive/answer.h"

#include <stdlib.h>

#include "base/memory.h"
#include "dicom/encode.h"

#define TAG_DATA_SET_TRAILING_PADDING 0xFFFCFFFCu

struct answer answer_init(void)
{
    struct answer answer = { .bytes = buffer_up_to(ANSWER_SIZE) };
    return answer;
}

void answer_release(struct answer *answer)
{
    dataset_close(answer->dataset);
    buffer_release(&answer->bytes);
    free(answer->tags);
    memset(answer, 0, sizeof(*answer));
}

struct answer_dataset answer_take(struct answer *answer)
{
    struct answer_dataset taken = { answer->bytes, answer->dataset };
    answer->bytes = buffer_up_to(ANSWER_SIZE);
    answer->dataset = NULL;
    return taken;
}

void answer_dataset_release(struct answer_dataset *dataset)
{
    dataset_close(dataset->dataset);
    buffer_release(&dataset->bytes);
}

static void add_tag(struct answer *answer, uint32_t tag, bool whole)
{
    if (answer->count == answer->capacity) {
        answer->capacity = answer->capacity ? answer->capacity * 2 : 32;
        answer->tags = mem_resize_array(answer->tags, answer->capacity, sizeof(*answer->tags));
    }
    answer->tags[answer->count++] = (struct answer_tag){ tag, whole };
}

bool answer_add(struct answer *answer, uint32_t tag, bool whole, struct error *err)
{
    if (answer->count >= ANSWER_MAX_TAGS)
        return error_set(err, ERROR_LIMIT, "more than %d attributes asked for", ANSWER_MAX_TAGS);
    add_tag(answer, tag, whole);
    return true;
}

static int compare_tags(const void *a, const void *b)
{
    const struct answer_tag *first = a, *second = b;
    return first->tag < second->tag ? -1 : first->tag > second->tag;
}

static void sort_tags(struct answer *answer)
{
    size_t kept = 0;
    if (answer->count)
        qsort(answer->tags, answer->count, sizeof(*answer->tags), compare_tags);
    for (size_t i = 0; i < answer->count; i++) {
        if (kept && answer->tags[kept - 1].tag == answer->tags[i].tag)
            answer->tags[kept - 1].whole |= answer->tags[i].whole;
        else
            answer->tags[kept++] = answer->tags[i];
    }
    answer->count = kept;
}

/* (gggg,xxyy) belongs to the private creator (gggg,00xx) (PS3.5 7.8.1). */
static void add_creators(struct answer *answer)
{
    size_t count = answer->count;
    for (size_t i = 0; i < count; i++) {
        uint32_t tag = answer->tags[i].tag;
        uint32_t block = tag >> 8 & 0xFF;
        if (tag_is_private(tag) && block >= 0x10)
            add_tag(answer, (tag & 0xFFFF0000) | block, true);
    }
}

static bool is_creator(uint32_t tag)
{
    return tag_is_private(tag) && (tag & 0xFFFF) < 0x100;
}

/* Everything of the tables, and what is computed. */
static void add_summaries(struct answer *answer, enum level level)
{
    static const uint32_t computed[] = {
        TAG_RETRIEVE_AE_TITLE,
        TAG_INSTANCE_AVAILABILITY,
        TAG_MODALITIES_IN_STUDY,
        TAG_SOP_CLASSES_IN_STUDY,
        TAG_NUMBER_OF_PATIENT_RELATED_STUDIES,
        TAG_NUMBER_OF_PATIENT_RELATED_SERIES,
        TAG_NUMBER_OF_PATIENT_RELATED_INSTANCES,
        TAG_NUMBER_OF_STUDY_RELATED_SERIES,
        TAG_NUMBER_OF_STUDY_RELATED_INSTANCES,
        TAG_NUMBER_OF_SERIES_RELATED_INSTANCES,
    };
    for (size_t i = 0; i < sizeof(computed) / sizeof(computed[0]); i++) {
        enum level own = row_attribute_level(computed[i], LEVEL_INSTANCE);
        if (own >= answer->from && own <= level)
            add_tag(answer, computed[i], true);
    }
    for (int i = (int)answer->from; i <= (int)level; i++) {
        size_t position = 0;
        uint32_t tag;
        while (attribute_next((enum level)i, &position, &tag))
            add_tag(answer, tag, true);
    }
}

void answer_prepare(struct answer *answer, enum level level)
{
    if (level == LEVEL_PATIENT)
        add_tag(answer, TAG_PATIENT_ID, true);
    if (level >= LEVEL_STUDY)
        add_tag(answer, TAG_STUDY_INSTANCE_UID, true);
    if (level >= LEVEL_SERIES)
        add_tag(answer, TAG_SERIES_INSTANCE_UID, true);
    if (level >= LEVEL_INSTANCE)
        add_tag(answer, TAG_SOP_INSTANCE_UID, true);
    if (answer->all)
        add_summaries(answer, level);
    add_creators(answer);
    sort_tags(answer);
}

/* Keys below a sequence. */

/* The keys of one first tag: they stand together, the one of depth 1 first. */
static const struct query_key *find_parts(const struct query_keys *keys, uint32_t tag,
                                          size_t *count)
{
    const struct query_key *first = NULL;
    *count = 0;
    for (size_t i = 0; i < keys->count; i++) {
        const struct query_key *key = &keys->keys[i];
        if (key->path[0] != tag || key->depth == 1)
            continue;
        if (!first)
            first = key;
        ++*count;
    }
    return first;
}

static void encode_nothing(struct encoder *encoder, uint32_t tag)
{
    encode_bytes(encoder, tag, dictionary_vr(tag), slice_of(NULL, 0));
}

static size_t group_size(const struct query_key *keys, size_t count, size_t at)
{
    size_t size = 1;
    while (size < count && keys[size].depth > at && keys[size].path[at] == keys[0].path[at])
        size++;
    return size;
}

static void encode_part(struct encoder *encoder, const struct query_key *keys, size_t count,
                        size_t at, const struct dataset *dataset, uint32_t stands_at);

static void encode_parts(struct encoder *encoder, const struct query_key *keys, size_t count,
                         size_t at, const struct dataset *item)
{
    for (size_t i = 0; i < count;) {
        size_t size = group_size(keys + i, count - i, at);
        uint32_t tag = keys[i].path[at];
        if (keys[i].depth > at + 1)
            encode_part(encoder, keys + i, size, at, item, tag);
        else if (!encode_copy(encoder, item, tag))
            encode_nothing(encoder, tag);
        i += size;
    }
}

/* The sequence path[at] with the attributes that the keys name, in every item. As deep as a key. */
static void encode_part(struct encoder *encoder, const struct query_key *keys, size_t count,
                        size_t at, const struct dataset *dataset, uint32_t stands_at)
{
    struct dataset_items items = dataset_items(dataset, stands_at);
    encode_sequence_begin(encoder, keys[0].path[at]);
    for (size_t i = 0; i < QUERY_MAX_ITEMS; i++) {
        struct dataset *item = dataset_items_next(&items);
        if (!item)
            break;
        encode_item_begin(encoder);
        encode_parts(encoder, keys, count, at + 1, item);
        encode_item_end(encoder);
        dataset_close(item);
    }
    encode_sequence_end(encoder);
}

/* A private attribute in the block that was asked for, whichever it stands in. */
static void encode_moved(struct encoder *encoder, const struct dataset *source, uint32_t from,
                         uint32_t to)
{
    size_t begin = encoder->out->size;
    encode_copy(encoder, source, from);
    /* Group and element, two bytes each, begin an element in every encoding (PS3.5 7.1). */
    if (encoder->out->size >= begin + 4) {
        encoder->out->data[begin + 2] = (uint8_t)to;
        encoder->out->data[begin + 3] = (uint8_t)(to >> 8);
    }
}

static bool encode_tag(struct answer *answer, struct encoder *encoder, struct row *row,
                       enum level level, struct answer_tag asked, const struct query_keys *keys,
                       struct buffer *scratch, struct error *err)
{
    struct row_value value;
    size_t count;
    bool found;
    uint32_t tag = asked.tag;
    const struct query_key *parts = asked.whole ? NULL : find_parts(keys, tag, &count);
    if (!row_find(row, level, tag, scratch, &value, &found, err))
        return false;
    if (found && !value.source)
        encode_bytes(encoder, tag, value.vr, value.text);
    else if (found && parts)
        encode_part(encoder, parts, count, 0, value.source, value.tag);
    else if (found && value.tag != tag)
        encode_moved(encoder, value.source, value.tag, tag);
    else if (found)
        encode_copy(encoder, value.source, tag);
    else if (!answer->all && !is_creator(tag) && !row_is_of_unknown_zone(row, tag))
        encode_nothing(encoder, tag);
    return true;
}

/* All attributes of an instance: what was asked for, and what its header has at the top. Group
 * lengths and padding say nothing, and what was elided is no value to answer with. */
static void add_header_tags(struct answer *tags, const struct dataset *header)
{
    struct walk walk = dataset_walk(header);
    struct element element;
    enum walk_event event;
    while ((event = walk_next(&walk, &element)) != WALK_END) {
        bool at_top = (event == WALK_ELEMENT && walk.depth == 0) ||
                      (event == WALK_SEQUENCE && walk.depth == 1);
        if (at_top && !element.elided && (element.tag & 0xFFFF) != 0 &&
            element.tag != TAG_DATA_SET_TRAILING_PADDING)
            add_tag(tags, element.tag, true);
    }
}

static bool encode_tags(struct answer *answer, const struct answer *tags, struct encoder *encoder,
                        struct row *row, enum level level, const struct query_keys *keys,
                        struct error *err)
{
    struct buffer scratch = buffer_up_to(ROW_TEXT_SIZE);
    bool ok = true;
    for (size_t i = 0; ok && i < tags->count; i++) {
        if (tags->tags[i].tag != TAG_SPECIFIC_CHARACTER_SET)
            ok = encode_tag(answer, encoder, row, level, tags->tags[i], keys, &scratch, err);
    }
    buffer_release(&scratch);
    return ok;
}

static bool encode_row(struct answer *answer, struct encoder *encoder, struct row *row,
                       enum level level, const struct query_keys *keys, struct error *err)
{
    const struct dataset *header;
    if (!answer->header || level != LEVEL_INSTANCE)
        return encode_tags(answer, answer, encoder, row, level, keys, err);
    if (!row_header(row, level, &header, err))
        return false;
    struct answer tags = { 0 };
    for (size_t i = 0; i < answer->count; i++)
        add_tag(&tags, answer->tags[i].tag, answer->tags[i].whole);
    if (header)
        add_header_tags(&tags, header);
    sort_tags(&tags);
    bool ok = encode_tags(answer, &tags, encoder, row, level, keys, err);
    free(tags.tags);
    return ok;
}

bool answer_write(struct answer *answer, struct row *row, enum level level,
                  const struct query_keys *keys, struct error *err)
{
    struct encoder encoder = { &answer->bytes, true };
    dataset_close(answer->dataset);
    answer->dataset = NULL;
    buffer_clear(&answer->bytes);
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    size_t charset_size = answer->bytes.size;
    if (!encode_row(answer, &encoder, row, level, keys, err) ||
        !buffer_check(&answer->bytes, "match", err))
        return false;
    struct slice bytes = slice_skip(buffer_slice(&answer->bytes), charset_size);
    if (!slice_is_ascii(bytes))
        bytes = buffer_slice(&answer->bytes);
    return dataset_open(bytes, transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL,
                        0, &answer->dataset, err);
}
