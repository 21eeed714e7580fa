/* SPDX-License-Identifier: MIT */
#include "tests/worklist/fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "dicom/encode.h"

enum { TURNS = 16 };

void fixture_open(struct fixture *fixture, bool index_in_memory)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->index_in_memory = index_in_memory;
    snprintf(fixture->folder, sizeof(fixture->folder), "%s", test_folder());
    fixture_reopen(fixture);
}

void fixture_reopen(struct fixture *fixture)
{
    struct storage_options options = { .path = fixture->folder,
                                       .segment_size = 1 << 20,
                                       .index_in_memory = fixture->index_in_memory };
    struct error err = { 0 };
    fixture_close(fixture);
    CHECK_OK(storage_open(&options, &fixture->storage, &err), err);
    CHECK_OK(worklist_open(fixture->storage, NULL, &fixture->worklist, &err), err);
}

void fixture_close(struct fixture *fixture)
{
    worklist_close(fixture->worklist);
    if (fixture->storage)
        storage_close(fixture->storage);
    fixture->worklist = NULL;
    fixture->storage = NULL;
}

static void encode_line(struct encoder *encoder, const char *line, size_t size)
{
    char tag_text[9] = { 0 };
    if (line[0] == ']') {
        encode_item_end(encoder);
        encode_sequence_end(encoder);
        return;
    }
    if (line[0] == ',') {
        encode_item_end(encoder);
        encode_item_begin(encoder);
        return;
    }
    memcpy(tag_text, line, 8);
    uint32_t tag = (uint32_t)strtoul(tag_text, NULL, 16);
    struct slice value = slice_of(line + 9, size > 9 ? size - 9 : 0);
    if (slice_equals_text(value, "[")) {
        encode_sequence_begin(encoder, tag);
        encode_item_begin(encoder);
    } else if (slice_equals_text(value, "[]")) {
        encode_sequence_begin(encoder, tag);
        encode_sequence_end(encoder);
    } else {
        encode_bytes(encoder, tag, dictionary_vr(tag), value);
    }
}

const struct dataset *dataset_of(const char *lines)
{
    static struct buffer buffers[TURNS];
    static struct dataset *datasets[TURNS];
    static size_t turn;
    struct error err = { 0 };
    struct buffer *buffer = &buffers[turn % TURNS];
    struct dataset **dataset = &datasets[turn++ % TURNS];
    dataset_close(*dataset);
    *dataset = NULL;
    buffer_release(buffer);
    *buffer = buffer_up_to(1 << 20);
    struct encoder encoder = { buffer, true };
    encode_text(&encoder, TAG_SPECIFIC_CHARACTER_SET, VR_CS, "ISO_IR 192");
    while (*lines) {
        const char *end = strchr(lines, '\n');
        size_t size = end ? (size_t)(end - lines) : strlen(lines);
        size_t indent = strspn(lines, " ");
        if (size > indent)
            encode_line(&encoder, lines + indent, size - indent);
        lines += size + (end ? 1 : 0);
    }
    CHECK_OK(dataset_open(buffer_slice(buffer),
                          transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                          dataset, &err),
             err);
    return *dataset;
}

static const char *text_at(const struct object *object, const uint32_t *path, size_t depth)
{
    static char texts[TURNS][256];
    static size_t turn;
    struct error err = { 0 };
    struct dataset *dataset = NULL;
    struct element element;
    struct buffer text = buffer_up_to(1 << 16);
    char *out = texts[turn++ % TURNS];
    CHECK_OK(object_dataset(object, &dataset, &err), err);
    snprintf(out, sizeof(texts[0]), "%s", "(absent)");
    if (dataset_find_path(dataset, path, depth, &element)) {
        dataset_element_text(dataset, &element, &text);
        snprintf(out, sizeof(texts[0]), "%s", buffer_text(&text));
    }
    buffer_release(&text);
    dataset_close(dataset);
    return out;
}

const char *text_of(const struct object *object, uint32_t tag)
{
    return text_at(object, &tag, 1);
}

const char *text_in(const struct object *object, uint32_t sequence, uint32_t tag)
{
    const uint32_t path[] = { sequence, tag };
    return text_at(object, path, 2);
}

const char *walk_list(struct fixture *fixture, const struct object_range *range)
{
    static char lists[TURNS][1024];
    static size_t turn;
    struct error err = { 0 };
    struct object_walk *walk = NULL;
    const char *key;
    char *out = lists[turn++ % TURNS];
    out[0] = '\0';
    CHECK_OK(object_walk_open(fixture->worklist, range, &walk, &err), err);
    for (;;) {
        CHECK_OK(object_walk_next_key(walk, &key, &err), err);
        if (!key)
            break;
        size_t size = strlen(out);
        snprintf(out + size, sizeof(lists[0]) - size, "%s%s", size ? "," : "", key);
    }
    object_walk_close(walk);
    return out;
}
