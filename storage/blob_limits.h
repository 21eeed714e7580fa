/* SPDX-License-Identifier: MIT */
#pragma once
/* Where a blob ends to be small. Only storage/ and its tests include this header. */

enum {
    BLOB_BLOCK_SIZE = (32 << 20) + 4096, /* header and payload that are gathered in memory */
    BLOB_PIECE_SIZE = 4 << 20,           /* of a bigger one, what is written at a time */
};
