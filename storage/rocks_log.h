/* SPDX-License-Identifier: MIT */
#pragma once
/* RocksDB's own log. Only storage/rocks.c includes this header. */

#ifdef __cplusplus
extern "C" {
#endif

struct rocksdb_options_t;

/* RocksDB then keeps no file LOG. As some distributions build it, with assertions, a line behind
 * one that could not be written ends the process: a full disk is enough. What fails comes back as
 * the status of a call all the same. */
void rocks_log_silence(struct rocksdb_options_t *options);

#ifdef __cplusplus
}
#endif
