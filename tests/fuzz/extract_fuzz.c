/* SPDX-License-Identifier: MIT */
/* Frames taken out of an image: one byte that chooses the transfer syntax, one for the key, one for
 * the size of its value, the value, and the data set. What can be extracted must pass the scan, and
 * have as many frames as it says. */
#include <stdlib.h>
#include <string.h>

#include "dicom/encode.h"
#include "dicom/extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_RESULT = 8 << 20, MAX_TABLE = 16 << 20 };

static const char *const syntaxes[] = {
    UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_BIG_ENDIAN,
    UID_DEFLATED_EXPLICIT,      UID_JPEG_BASELINE,          UID_RLE_LOSSLESS,
};
static const uint32_t keys[] = { TAG_SIMPLE_FRAME_LIST, TAG_CALCULATED_FRAME_LIST, TAG_TIME_RANGE };
static const struct scan_limits fuzz_limits = {
    .header_size = 1 << 20,
    .value_size = 1 << 16,
    .elements = 20000,
    .fragments = 10000,
    .inflated_size = 1 << 20,
};

static void require(bool condition)
{
    if (!condition)
        abort();
}

static bool read_memory(void *context, uint64_t offset, struct space space, struct error *err)
{
    const struct slice *bytes = context;
    if (offset > bytes->size || space.size > bytes->size - offset)
        return error_set(err, ERROR_CORRUPT, "beyond the end");
    memcpy(space.data, bytes->data + offset, space.size);
    return true;
}

static bool write_memory(void *context, struct slice bytes, struct error *err)
{
    struct buffer *out = context;
    return buffer_append(out, bytes) || buffer_check(out, "result", err);
}

/* A data set, with the table of its frames. */
struct object {
    struct scan *scan;
    struct dataset *header;
    struct buffer table;
};

static bool object_open(struct object *object, struct slice bytes,
                        const struct transfer_syntax *syntax)
{
    struct error err;
    size_t count;
    object->scan = scan_new(syntax, &fuzz_limits);
    object->header = NULL;
    object->table = buffer_up_to(MAX_TABLE);
    if (!scan_write(object->scan, bytes, &err) || !scan_finish(object->scan, &err))
        return false;
    const struct elision *elisions = scan_elisions(object->scan, &count);
    if (!dataset_open(scan_header(object->scan), syntax, elisions, count, &object->header, &err))
        return false;
    frame_table_build(object->header, scan_pixel_data(object->scan), slice_of(NULL, 0),
                      slice_of(NULL, 0), &object->table);
    return !object->table.overflowed;
}

static void object_close(struct object *object)
{
    dataset_close(object->header);
    scan_free(object->scan);
    buffer_release(&object->table);
}

static void check(struct slice result, const struct transfer_syntax *syntax, size_t frames)
{
    struct object object;
    char instance[UID_SIZE] = "";
    int64_t count = 0;
    require(object_open(&object, result, syntax));
    require(dataset_uid(object.header, TAG_SOP_INSTANCE_UID, instance));
    require(strcmp(instance, "1.2.3") == 0);
    require(dataset_integer(object.header, TAG_NUMBER_OF_FRAMES, &count));
    require((size_t)count == frames);
    object_close(&object);
}

static void extract(const struct object *object, const struct dataset *identifier,
                    struct slice bytes)
{
    struct error err;
    struct slice table = buffer_slice(&object->table);
    struct frame_selection list = frame_selection_init();
    struct buffer result = buffer_up_to(MAX_RESULT);
    struct extraction extraction = { &list, "1.2.3", "20260102030405+0000" };
    struct transcode_source source = { read_memory, &bytes, bytes.size };
    struct transcode_sink sink = { write_memory, &result };
    uint32_t frames = frame_table_count(table);
    if (frame_selection_select(&list, identifier, object->header, frames, &err)) {
        size_t count = frame_selection_count(&list);
        require(count > 0 && count <= frames);
        for (size_t i = 0; i < count; i++)
            require(frame_selection_at(&list, i) > (i ? frame_selection_at(&list, i - 1) : 0) &&
                    frame_selection_at(&list, i) <= frames);
        if (extract_frames(object->header, table, &extraction, &source, &sink, &err))
            check(buffer_slice(&result), extract_syntax(dataset_syntax(object->header)), count);
    }
    buffer_release(&result);
    frame_selection_release(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct object object;
    struct dataset *identifier;
    if (size < 3)
        return 0;
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(syntaxes[data[0] % (sizeof(syntaxes) / sizeof(syntaxes[0]))]));
    uint32_t key = keys[data[1] % (sizeof(keys) / sizeof(keys[0]))];
    struct slice rest = slice_of(data + 3, size - 3);
    struct slice value = slice_take(rest, data[2]);
    struct buffer bytes = buffer_up_to(4096);
    struct encoder encoder = { &bytes, true };
    rest = slice_skip(rest, value.size);
    encode_bytes(&encoder, key, dictionary_vr(key), value);
    require(dataset_open(buffer_slice(&bytes),
                         transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                         &identifier, &err));
    if (object_open(&object, rest, syntax))
        extract(&object, identifier, rest);
    object_close(&object);
    dataset_close(identifier);
    buffer_release(&bytes);
    return 0;
}
