/* SPDX-License-Identifier: MIT */
#include <pthread.h>
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "storage/keyvalue.h"
#include "storage/rocks_log.h"

enum {
    FAMILY_COUNT = TABLE_COUNT + 1, /* RocksDB insists on a family named "default" */
    BLOCK_CACHE_SIZE = 128 << 20,
    BLOCK_CACHE_SHARD_BITS = 4, /* parts of 8 MiB: the largest block is far below that */
    METADATA_BLOCK_SIZE = 8 << 10,
    WRITE_BUFFER_SIZE = 16 << 20, /* per table */
    WRITE_BUFFERS_TOTAL = 64 << 20,
    WAL_SIZE = 32 << 20, /* bounds the time that opening takes after a crash */
    OPEN_FILES = 512,
    DICTIONARY_SIZE = 16 << 10,
    DICTIONARY_TRAINING_SIZE = 1600 << 10,
    ZSTD_LEVEL = 3,
    WINDOW_BITS = -14, /* RocksDB's own default */
};

#ifdef __SANITIZE_THREAD__
/* The library is not instrumented: what orders its own threads is not seen. Nor are its frames
 * always, when it is in the middle of one of its strings, or in a library that unpacks its blocks
 * with what threads take over from each other. What it writes into its tables is read by us through
 * its cursors, in the order that only it knows of. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:librocksdb\nrace:std::__cxx11::basic_string\nrace:libzstd\nrace:liblz4\n";
}
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);
#define UNSEEN_WRITES_BEGIN() AnnotateIgnoreWritesBegin(__FILE__, __LINE__)
#define UNSEEN_WRITES_END()   AnnotateIgnoreWritesEnd(__FILE__, __LINE__)
#else
#define UNSEEN_WRITES_BEGIN() (void)0
#define UNSEEN_WRITES_END()   (void)0
#endif

static const char *const table_names[FAMILY_COUNT] = {
    [TABLE_RECORD] = "record", [TABLE_DOCUMENT] = "document", [TABLE_TERM] = "term",
    [TABLE_FEED] = "feed",     [TABLE_POSITION] = "position", [TABLE_SEGMENT] = "segment",
    [TABLE_COUNT] = "default",
};

const char *table_name(enum table table)
{
    return table_names[table];
}

struct rocks {
    struct keyvalue base;
    rocksdb_t *db;
    rocksdb_column_family_handle_t *families[FAMILY_COUNT];
    rocksdb_readoptions_t *read_options;
    rocksdb_writeoptions_t *write_options;
    const rocksdb_snapshot_t *snapshot; /* of a view; else NULL */
    /* Held by a write, and by a sync before it begins: a sync of a log that a write has failed on
     * ends the process. Only what fails in the instant between our look and RocksDB's own still
     * does; a lock over the whole sync would keep all who write waiting for the disk. */
    pthread_mutex_t log_lock;
    bool log_failed;
};

struct rocks_cursor {
    struct keyvalue_cursor base;
    rocksdb_iterator_t *iterator;
    rocksdb_readoptions_t *options;
    uint8_t *lower; /* the iterator points to its bounds */
    uint8_t *upper;
    bool backwards;
    bool begun;
};

/* Takes the message that RocksDB left in `message`. */
static bool failed(char *message, const char *what, struct error *err)
{
    enum error_code code = ERROR_IO;
    bool full = strstr(message, "No space left") || strstr(message, "NoSpace");
    /* A full disk is waited for, but for the log: what of a batch stands in it is not known then,
     * and a log that was written to after a failed write ends the process. */
    if (full && !strstr(message, ".log"))
        code = ERROR_NO_SPACE;
    else if (strncmp(message, "Corruption", strlen("Corruption")) == 0)
        code = ERROR_CORRUPT;
    error_set(err, code, "index: %s: %.160s", what, message);
    rocksdb_free(message);
    return false;
}

static void rocks_close(struct keyvalue *keyvalue)
{
    struct rocks *rocks = (struct rocks *)keyvalue;
    for (int i = 0; i < FAMILY_COUNT; i++)
        if (rocks->families[i])
            rocksdb_column_family_handle_destroy(rocks->families[i]);
    if (rocks->db)
        rocksdb_close(rocks->db);
    rocksdb_readoptions_destroy(rocks->read_options);
    rocksdb_writeoptions_destroy(rocks->write_options);
    pthread_mutex_destroy(&rocks->log_lock);
    free(rocks);
}

static bool rocks_get(struct keyvalue *keyvalue, enum table table, struct slice key,
                      struct buffer *value, bool *found, struct error *err)
{
    struct rocks *rocks = (struct rocks *)keyvalue;
    char *message = NULL;
    buffer_clear(value);
    *found = false;
    rocksdb_pinnableslice_t *pinned = rocksdb_get_pinned_cf(
        rocks->db, rocks->read_options, rocks->families[table], (const char *)key.data, key.size,
        &message);
    if (message)
        return failed(message, "get", err);
    if (!pinned)
        return true;
    size_t size = 0;
    const char *data = rocksdb_pinnableslice_value(pinned, &size);
    buffer_append(value, slice_of(data, size));
    rocksdb_pinnableslice_destroy(pinned);
    *found = true;
    return buffer_check(value, "value", err);
}

static bool rocks_write(struct keyvalue *keyvalue, const struct keyvalue_write *writes,
                        size_t count, struct error *err)
{
    struct rocks *rocks = (struct rocks *)keyvalue;
    char *message = NULL;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    for (size_t i = 0; i < count; i++) {
        const struct keyvalue_write *write = &writes[i];
        if (write->remove)
            rocksdb_writebatch_delete_cf(batch, rocks->families[write->table],
                                         (const char *)write->key.data, write->key.size);
        else
            rocksdb_writebatch_put_cf(batch, rocks->families[write->table],
                                      (const char *)write->key.data, write->key.size,
                                      (const char *)write->value.data, write->value.size);
    }
    struct error why = { 0 };
    pthread_mutex_lock(&rocks->log_lock);
    UNSEEN_WRITES_BEGIN();
    rocksdb_write(rocks->db, rocks->write_options, batch, &message);
    UNSEEN_WRITES_END();
    bool ok = !message || failed(message, "write", &why);
    if (!ok && why.code != ERROR_NO_SPACE)
        rocks->log_failed = true;
    pthread_mutex_unlock(&rocks->log_lock);
    rocksdb_writebatch_destroy(batch);
    return ok || error_set(err, why.code, "%s", why.message);
}

static bool rocks_sync(struct keyvalue *keyvalue, struct error *err)
{
    struct rocks *rocks = (struct rocks *)keyvalue;
    char *message = NULL;
    pthread_mutex_lock(&rocks->log_lock);
    bool log_failed = rocks->log_failed;
    pthread_mutex_unlock(&rocks->log_lock);
    if (log_failed)
        return error_set(err, ERROR_IO, "index: sync: a write to the log has failed");
    rocksdb_flush_wal(rocks->db, 1, &message);
    return message ? failed(message, "sync", err) : true;
}

static const struct keyvalue_operations operations;

static bool rocks_cursor_open(struct keyvalue *keyvalue, enum table table, struct slice lower,
                              struct slice upper, bool backwards, struct keyvalue_cursor **out,
                              struct error *err)
{
    struct rocks *rocks = (struct rocks *)keyvalue;
    struct rocks_cursor *cursor = mem_alloc(sizeof(*cursor));
    (void)err;
    cursor->base.operations = &operations;
    cursor->backwards = backwards;
    cursor->lower = mem_copy(lower.data, lower.size);
    cursor->upper = mem_copy(upper.data, upper.size);
    cursor->options = rocksdb_readoptions_create();
    if (rocks->snapshot)
        rocksdb_readoptions_set_snapshot(cursor->options, rocks->snapshot);
    if (lower.size)
        rocksdb_readoptions_set_iterate_lower_bound(cursor->options, (const char *)cursor->lower,
                                                    lower.size);
    if (upper.size)
        rocksdb_readoptions_set_iterate_upper_bound(cursor->options, (const char *)cursor->upper,
                                                    upper.size);
    cursor->iterator = rocksdb_create_iterator_cf(rocks->db, cursor->options,
                                                  rocks->families[table]);
    *out = &cursor->base;
    return true;
}

static void step(struct rocks_cursor *cursor)
{
    if (!cursor->begun && cursor->backwards)
        rocksdb_iter_seek_to_last(cursor->iterator);
    else if (!cursor->begun)
        rocksdb_iter_seek_to_first(cursor->iterator);
    else if (cursor->backwards)
        rocksdb_iter_prev(cursor->iterator);
    else
        rocksdb_iter_next(cursor->iterator);
    cursor->begun = true;
}

static bool rocks_cursor_next(struct keyvalue_cursor *base, struct slice *key, struct slice *value,
                              bool *found, struct error *err)
{
    struct rocks_cursor *cursor = (struct rocks_cursor *)base;
    char *message = NULL;
    size_t size = 0;
    if (!cursor->begun || rocksdb_iter_valid(cursor->iterator))
        step(cursor);
    *found = rocksdb_iter_valid(cursor->iterator);
    if (!*found) {
        rocksdb_iter_get_error(cursor->iterator, &message);
        return message ? failed(message, "cursor", err) : true;
    }
    const char *data = rocksdb_iter_key(cursor->iterator, &size);
    *key = slice_of(data, size);
    data = rocksdb_iter_value(cursor->iterator, &size);
    *value = slice_of(data, size);
    return true;
}

static void rocks_cursor_close(struct keyvalue_cursor *base)
{
    struct rocks_cursor *cursor = (struct rocks_cursor *)base;
    rocksdb_iter_destroy(cursor->iterator);
    rocksdb_readoptions_destroy(cursor->options);
    free(cursor->lower);
    free(cursor->upper);
    free(cursor);
}

static bool rocks_flush(struct keyvalue *keyvalue, struct error *err)
{
    struct rocks *rocks = (struct rocks *)keyvalue;
    char *message = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    for (int i = 0; i < FAMILY_COUNT && !message; i++)
        rocksdb_flush_cf(rocks->db, options, rocks->families[i], &message);
    rocksdb_flushoptions_destroy(options);
    return message ? failed(message, "flush", err) : true;
}

static bool rocks_checkpoint(struct keyvalue *keyvalue, const char *path, struct error *err)
{
    struct rocks *rocks = (struct rocks *)keyvalue;
    char *message = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(rocks->db, &message);
    if (!message)
        rocksdb_checkpoint_create(checkpoint, path, UINT64_MAX, &message); /* without a flush */
    if (checkpoint)
        rocksdb_checkpoint_object_destroy(checkpoint);
    return message ? failed(message, "checkpoint", err) : true;
}

static uint64_t property(const struct rocks *rocks, enum table table, const char *name)
{
    uint64_t value = 0;
    return rocksdb_property_int_cf(rocks->db, rocks->families[table], name, &value) == 0 ? value
                                                                                         : 0;
}

static void rocks_figures(struct keyvalue *keyvalue, enum table table,
                          struct storage_table_figures *figures)
{
    const struct rocks *rocks = (const struct rocks *)keyvalue;
    figures->keys = property(rocks, table, "rocksdb.estimate-num-keys");
    figures->disk_bytes = property(rocks, table, "rocksdb.live-sst-files-size");
    figures->memory_bytes = property(rocks, table, "rocksdb.cur-size-all-mem-tables");
}

static void view_close(struct keyvalue *keyvalue)
{
    struct rocks *view = (struct rocks *)keyvalue;
    rocksdb_readoptions_destroy(view->read_options);
    rocksdb_release_snapshot(view->db, view->snapshot);
    free(view);
}

static const struct keyvalue_operations view_operations = {
    .close = view_close,
    .get = rocks_get,
    .cursor_open = rocks_cursor_open,
    .cursor_next = rocks_cursor_next,
    .cursor_close = rocks_cursor_close,
};

static struct keyvalue *rocks_view(struct keyvalue *keyvalue)
{
    struct rocks *rocks = (struct rocks *)keyvalue;
    struct rocks *view = mem_alloc(sizeof(*view));
    view->base.operations = &view_operations;
    view->db = rocks->db;
    memcpy(view->families, rocks->families, sizeof(view->families));
    view->snapshot = rocksdb_create_snapshot(rocks->db);
    view->read_options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_snapshot(view->read_options, view->snapshot);
    return &view->base;
}

static const struct keyvalue_operations operations = {
    .close = rocks_close,
    .get = rocks_get,
    .write = rocks_write,
    .sync = rocks_sync,
    .cursor_open = rocks_cursor_open,
    .cursor_next = rocks_cursor_next,
    .cursor_close = rocks_cursor_close,
    .view = rocks_view,
    .figures = rocks_figures,
    .flush = rocks_flush,
    .checkpoint = rocks_checkpoint,
};

static rocksdb_options_t *database_options(void)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_db_write_buffer_size(options, WRITE_BUFFERS_TOTAL);
    rocksdb_options_set_max_total_wal_size(options, WAL_SIZE);
    rocksdb_options_set_max_open_files(options, OPEN_FILES);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocks_log_silence(options);
    return options;
}

static rocksdb_options_t *table_options(enum table table, rocksdb_cache_t *cache)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *blocks = rocksdb_block_based_options_create();
    bool documents = table == TABLE_DOCUMENT;
    rocksdb_block_based_options_set_block_cache(blocks, cache);
    rocksdb_block_based_options_set_filter_policy(blocks,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    /* Filters and indices lie in the cache too, so that memory does not grow with the archive; in
     * small parts, because the whole filter of a large table does not fit there, and would be read
     * anew by every get. */
    rocksdb_block_based_options_set_index_type(
        blocks, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(blocks, 1);
    rocksdb_block_based_options_set_metadata_block_size(blocks, METADATA_BLOCK_SIZE);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(blocks, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(blocks, 1);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(blocks, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(blocks, 1);
    rocksdb_block_based_options_set_block_size(blocks, documents ? 16 << 10 : 8 << 10);
    rocksdb_block_based_options_set_format_version(blocks, 5);
    rocksdb_options_set_block_based_table_factory(options, blocks);
    rocksdb_block_based_options_destroy(blocks);

    rocksdb_options_set_write_buffer_size(options, WRITE_BUFFER_SIZE);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_compression(options,
                                    documents ? rocksdb_zstd_compression : rocksdb_lz4_compression);
    rocksdb_options_set_bottommost_compression(options, rocksdb_zstd_compression);
    if (documents) {
        rocksdb_options_set_compression_options(options, WINDOW_BITS, ZSTD_LEVEL, 0,
                                                DICTIONARY_SIZE);
        rocksdb_options_set_compression_options_zstd_max_train_bytes(options,
                                                                     DICTIONARY_TRAINING_SIZE);
        rocksdb_options_set_bottommost_compression_options(options, WINDOW_BITS, ZSTD_LEVEL, 0,
                                                           DICTIONARY_SIZE, 1);
        rocksdb_options_set_bottommost_compression_options_zstd_max_train_bytes(
            options, DICTIONARY_TRAINING_SIZE, 1);
    }
    return options;
}

bool rocks_open(const char *path, struct keyvalue **out, struct error *err)
{
    struct rocks *rocks = mem_alloc(sizeof(*rocks));
    rocksdb_options_t *options = database_options();
    rocksdb_options_t *family_options[FAMILY_COUNT];
    rocksdb_lru_cache_options_t *cache_options = rocksdb_lru_cache_options_create();
    rocksdb_lru_cache_options_set_capacity(cache_options, BLOCK_CACHE_SIZE);
    rocksdb_lru_cache_options_set_num_shard_bits(cache_options, BLOCK_CACHE_SHARD_BITS);
    rocksdb_cache_t *cache = rocksdb_cache_create_lru_opts(cache_options);
    rocksdb_lru_cache_options_destroy(cache_options);
    char *message = NULL;
    pthread_mutex_init(&rocks->log_lock, NULL);
    for (int i = 0; i < FAMILY_COUNT; i++)
        family_options[i] = table_options((enum table)i, cache);
    rocks->base.operations = &operations;
    rocks->read_options = rocksdb_readoptions_create();
    rocks->write_options = rocksdb_writeoptions_create();
    rocks->db = rocksdb_open_column_families(options, path, FAMILY_COUNT, table_names,
                                             (const rocksdb_options_t *const *)family_options,
                                             rocks->families, &message);
    for (int i = 0; i < FAMILY_COUNT; i++)
        rocksdb_options_destroy(family_options[i]);
    rocksdb_options_destroy(options);
    rocksdb_cache_destroy(cache);
    if (message) {
        rocks->db = NULL;
        memset(rocks->families, 0, sizeof(rocks->families));
        rocks_close(&rocks->base);
        return failed(message, "open", err);
    }
    *out = &rocks->base;
    return true;
}
