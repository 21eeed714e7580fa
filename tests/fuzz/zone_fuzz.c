/* SPDX-License-Identifier: MIT */
/* A data set said in another zone: one byte that chooses its transfer syntax, eight of the zone
 * that is stored, eight of the one it is said in. What is written can be read, says the zone where
 * one was known, and said in that zone again stays as it is. */
#include <stdlib.h>
#include <string.h>

#include "dicom/scan.h"
#include "dicom/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const syntaxes[] = { UID_IMPLICIT_LITTLE_ENDIAN, UID_EXPLICIT_LITTLE_ENDIAN,
                                        UID_EXPLICIT_BIG_ENDIAN };
enum { ZONE_BYTES = 8 };

static void require(bool condition)
{
    if (!condition)
        abort();
}

static void check(const struct dataset *dataset, const struct zone *stored, const struct zone *said)
{
    struct zone_copy once, twice;
    struct error err;
    memset(&once, 0, sizeof(once));
    memset(&twice, 0, sizeof(twice));
    if (zone_copy_make(&once, dataset, stored, said, &err)) {
        require(zone_copy_make(&twice, once.dataset, stored ? said : NULL, said, &err));
        require(slice_equal(buffer_slice(&once.bytes), buffer_slice(&twice.bytes)));
    }
    zone_copy_release(&twice);
    zone_copy_release(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error err;
    struct zone stored, said;
    struct dataset *dataset = NULL;
    size_t count;
    if (size < 1 + 2 * ZONE_BYTES)
        return 0;
    const struct transfer_syntax *syntax = transfer_syntax_find(
        slice_text(syntaxes[data[0] % (sizeof(syntaxes) / sizeof(syntaxes[0]))]));
    bool has_stored = zone_init(&stored, slice_of(data + 1, ZONE_BYTES));
    if (!zone_init(&said, slice_of(data + 1 + ZONE_BYTES, ZONE_BYTES)))
        return 0;
    struct slice bytes = slice_skip(slice_of(data, size), 1 + 2 * ZONE_BYTES);
    struct scan *scan = scan_new(syntax, &scan_default_limits);
    if (scan_write(scan, bytes, &err) && scan_finish(scan, &err)) {
        const struct elision *elisions = scan_elisions(scan, &count);
        if (dataset_open(scan_header(scan), syntax, elisions, count, &dataset, &err))
            check(dataset, has_stored ? &stored : NULL, &said);
    }
    dataset_close(dataset);
    scan_free(scan);
    return 0;
}
