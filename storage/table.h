/* SPDX-License-Identifier: MIT */
#pragma once
/* The tables of the index. Keys are ordered as bytes. What stands in them is the caller's; storage
 * only tunes each for the kind of value it holds. */

enum table {
    TABLE_RECORD,   /* small values, read one by one and in ranges */
    TABLE_DOCUMENT, /* values of some KiB, compressed with a dictionary */
    TABLE_TERM,     /* index terms: the key says all, the value is empty or a few bytes */
    TABLE_FEED,     /* the change feed: 8-byte big-endian sequence number -> entry */
    TABLE_POSITION, /* followers' positions and other small state that survives a restart */
    TABLE_SEGMENT,  /* bookkeeping of the blob segments */
    TABLE_COUNT,
};

const char *table_name(enum table table); /* "record" ... */
