/* SPDX-License-Identifier: MIT */
#pragma once
/* A data set out of fuzzed bytes as the server would have it: scanned, with long values left out
 * of the header and read by their place. */
#include <stdlib.h>

#include "dicom/scan.h"
#include "dicom/value_source.h"

struct scanned_input {
    struct slice bytes;
    struct scan *scan;
    struct dataset *header;
    struct value_source source;
};

static inline bool scanned_input_read(void *context, uint64_t offset, struct space space,
                                      struct error *err)
{
    const struct slice *bytes = context;
    (void)err;
    if (offset > bytes->size || space.size > bytes->size - offset)
        abort();
    memcpy(space.data, bytes->data + offset, space.size);
    return true;
}

static inline void scanned_input_close(struct scanned_input *input)
{
    dataset_close(input->header);
    scan_free(input->scan);
}

/* False when the scan refuses them. The input must stay where it is until it is closed. */
static inline bool scanned_input_open(struct scanned_input *input, struct slice bytes)
{
    static const struct scan_limits limits = {
        .header_size = 4 << 20,
        .elements = 20000,
        .fragments = 10000,
        .inflated_size = 1 << 20,
        .value_size = 256,
    };
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(UID_EXPLICIT_LITTLE_ENDIAN));
    struct error err;
    size_t count;
    *input = (struct scanned_input){ .bytes = bytes, .scan = scan_new(syntax, &limits) };
    input->source = (struct value_source){ scanned_input_read, &input->bytes };
    if (!scan_write(input->scan, bytes, &err) || !scan_finish(input->scan, &err)) {
        scan_free(input->scan);
        return false;
    }
    const struct elision *elisions = scan_elisions(input->scan, &count);
    if (!dataset_open(scan_header(input->scan), syntax, elisions, count, &input->header, &err))
        abort();
    return true;
}
