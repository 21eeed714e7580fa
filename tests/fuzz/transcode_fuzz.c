/* SPDX-License-Identifier: MIT */
/* A data set behind one byte that chooses its transfer syntax and that of the result. What can be
 * transcoded must pass the scan again, and transcoded once more stay as it is; then once with most
 * values left out of the header. */
#include <stdlib.h>
#include <string.h>

#include "dicom/transcode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_RESULT = 16 << 20, ALL_IN_HEADER = 1 << 20, FEW_IN_HEADER = 16 };

static const char *const syntaxes[] = {
    UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_BIG_ENDIAN,
    UID_DEFLATED_EXPLICIT,      UID_JPEG_LS_LOSSLESS,       UID_RLE_LOSSLESS,
};
static const char *const targets[] = { UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_LITTLE_ENDIAN,
                                       UID_RLE_LOSSLESS, UID_JPEG_LS_LOSSLESS,
                                       UID_JPEG_2000_LOSSLESS };
static const struct scan_limits fuzz_limits = {
    .header_size = 1 << 20,
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
    (void)err;
    require(offset <= bytes->size && space.size <= bytes->size - offset);
    memcpy(space.data, bytes->data + offset, space.size);
    return true;
}

static bool write_memory(void *context, struct slice bytes, struct error *err)
{
    struct buffer *out = context;
    return buffer_append(out, bytes) || buffer_check(out, "result", err);
}

static bool transcode(struct slice bytes, const struct transfer_syntax *from,
                      const struct transfer_syntax *to, size_t value_size, bool *valid,
                      struct buffer *out)
{
    struct scan_limits limits = fuzz_limits;
    struct error err;
    struct dataset *header = NULL;
    struct buffer table = buffer_up_to(MAX_RESULT);
    struct transcode_source source = { read_memory, &bytes, bytes.size };
    struct transcode_sink sink = { write_memory, out };
    limits.value_size = value_size;
    struct scan *scan = scan_new(from, &limits);
    bool ok = false;
    *valid = scan_write(scan, bytes, &err) && scan_finish(scan, &err);
    if (*valid) {
        size_t count;
        const struct elision *elisions = scan_elisions(scan, &count);
        require(dataset_open(scan_header(scan), from, elisions, count, &header, &err));
        frame_table_build(header, scan_pixel_data(scan), slice_of(NULL, 0), slice_of(NULL, 0),
                          &table);
        ok = transcode_dataset(header, buffer_slice(&table), to, &source, &sink, &err);
    }
    dataset_close(header);
    buffer_release(&table);
    scan_free(scan);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum {
        COUNT = sizeof(syntaxes) / sizeof(syntaxes[0]),
        TARGETS = sizeof(targets) / sizeof(targets[0])
    };
    if (!size)
        return 0;
    const struct transfer_syntax *from = transfer_syntax_find(
        slice_text(syntaxes[data[0] % COUNT]));
    const struct transfer_syntax *to = transfer_syntax_find(
        slice_text(targets[data[0] / COUNT % TARGETS]));
    struct buffer once = buffer_up_to(MAX_RESULT);
    struct buffer twice = buffer_up_to(MAX_RESULT);
    bool valid;
    struct slice bytes = slice_of(data + 1, size - 1);
    if (transcode(bytes, from, to, ALL_IN_HEADER, &valid, &once)) {
        bool again = transcode(buffer_slice(&once), to, to, ALL_IN_HEADER, &valid, &twice);
        require(valid && again);
        require(slice_equal(buffer_slice(&once), buffer_slice(&twice)));
    }
    buffer_clear(&once);
    transcode(bytes, from, to, FEW_IN_HEADER, &valid, &once);
    buffer_release(&once);
    buffer_release(&twice);
    return 0;
}
