/* SPDX-License-Identifier: MIT */
#pragma once
/* The guard: an iterative walk over an encoded data set while it arrives, before anything else
 * touches it. Checks every length, the nesting (at most 64), the VRs as far as lengths depend on
 * them, delimiters, and for deflated syntaxes the expansion. Gathers the header (the data set with
 * its big values left out), where the pixel data and each fragment lie, and the UIDs. Constant
 * stack; memory bounded by the limits. One thread at a time.
 *
 * Tolerated, since peers send it and every length still tells where the next element begins: odd
 * lengths, elements in any order or twice, delimiters whose length is not zero, VRs unknown to
 * PS3.5 in the long form. Refused: elements of groups 0000 and 0002, which would be taken for
 * command or file meta information when read back; pixel data twice.
 *
 * An offset is into the data set as encoded (for deflated syntaxes: as inflated). */

#include "base/buffer.h"
#include "base/error.h"
#include "base/slice.h"
#include "dicom/uid.h"

/* A value that stands in the data set and not in the header. */
struct elision {
    uint64_t offset; /* of the first byte that was left out */
    uint64_t size;
};

struct fragment {
    uint64_t offset; /* of the fragment's first byte, behind its item header */
    uint32_t size;
    uint32_t head; /* its first four bytes, big endian: the marker of a code stream */
};

struct scan_limits {
    size_t header_size; /* bytes of header, default 64 MiB */
    size_t value_size;  /* values above this are left out, default 4 KiB; pixel data always is */
    size_t elements;    /* default 4 million */
    size_t fragments;   /* default 4 million */
    uint64_t inflated_size; /* of a deflated data set, default 4 GiB; also at most 1000 times its
                               bytes + 1 MiB */
};
extern const struct scan_limits scan_default_limits;

struct scan;

struct scan *scan_new(const struct transfer_syntax *syntax, const struct scan_limits *limits);
void scan_free(struct scan *scan);

/* The next bytes, of any number. ERROR_INVALID (with the tag where known) or ERROR_LIMIT; an error
 * stays. */
bool scan_write(struct scan *scan, struct slice bytes, struct error *err);
/* The data set is over: everything that was begun must be closed. */
bool scan_finish(struct scan *scan, struct error *err);

/* Bytes that the scan holds by now, which grow with the data set. */
size_t scan_memory(const struct scan *scan);

/* All that follows: valid after scan_finish, borrowed from the scan. */
struct slice scan_header(const struct scan *scan);
const struct elision *scan_elisions(const struct scan *scan, size_t *count); /* ascending */
uint64_t scan_size(const struct scan *scan); /* of the (inflated) data set */

struct pixel_data {
    bool present; /* (7FE0,0010) at top level; or Float (0008) / Double Float (0009) Pixel Data */
    bool encapsulated;
    uint32_t tag;
    uint16_t vr;
    uint64_t offset; /* of the value: native bytes, or the Basic Offset Table's item header */
    uint64_t size;   /* of the value; encapsulated: up to and with the sequence delimiter */
    const struct fragment *fragments; /* encapsulated: without the Basic Offset Table */
    size_t fragment_count;
    struct slice basic_offset_table; /* its value, 32-bit little endian offsets; empty when it is */
};
const struct pixel_data *scan_pixel_data(const struct scan *scan);
