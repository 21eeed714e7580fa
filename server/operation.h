/* SPDX-License-Identifier: MIT */
#pragma once
/* What an operator can have done to a data directory: verify, stats ... One table says what there
 * is. The same code runs in the daemon, when it has the directory, and in the sub-command when
 * nobody has. */

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdio.h>

#include "archive/archive.h"
#include "base/job.h"

struct cast;
struct storage;
struct verifier;

struct operation_options {
    bool dry_run;
    bool quick;
    bool check; /* reads a backup again when it is written */
    double dead_share;
    uint64_t bytes_per_second;
    uint64_t position;    /* in the change feed */
    char study[UID_SIZE]; /* "" : none is named */
    char *directory;      /* absolute; owned; NULL when the operation takes none */
};

/* Those that want to be alone run one at a time, whoever asked for them. */
enum { OPERATIONS_MAX = 16 };
struct operation_turns {
    pthread_mutex_t lock;
    bool busy[OPERATIONS_MAX]; /* guarded by lock */
};

/* Where it is done. storage and archive NULL: the directory is not open, for one that wants it so.
 */
struct operation_place {
    struct storage *storage;
    struct archive *archive;
    struct operation_turns *turns; /* NULL: nobody else can ask */
    struct verifier *verifier;     /* is told what a verification found; NULL: there is none */
    struct cast *cast;             /* NULL: no server runs here */
    const char *data_directory;
    const char *ae_title;
};

/* Flags that an operation takes beside those that all do. */
enum operation_flag {
    OPERATION_DRY_RUN = 1,
    OPERATION_QUICK = 2,
    OPERATION_LIMIT = 4,
    OPERATION_CHECK = 8,
    OPERATION_DEAD = 16,
    OPERATION_STUDY = 32,
    OPERATION_POSITION = 64,
};

struct operation {
    const char *name;     /* "cast-status": two words for people, "cast status" */
    const char *argument; /* "DIR", or NULL */
    unsigned flags;
    bool offline; /* only while no server runs; opens the directory itself */
    bool online;  /* only while one runs, which does it */
    bool alone;   /* one at a time */
    const char *summary;
    const char *details;
    bool (*run)(const struct operation_place *place, const struct operation_options *options,
                struct job *job, cJSON *result, struct error *err);
    void (*print)(const cJSON *result, FILE *out); /* for people */
    uint64_t (*findings)(const cJSON *result);     /* NULL: it finds nothing */
};

extern const struct operation operations[];
extern const size_t operation_count;
/* ERROR_BUSY when one is under way that wants to be alone. */
bool operation_enter(struct operation_turns *turns, const struct operation *operation,
                     struct error *err);
void operation_leave(struct operation_turns *turns, const struct operation *operation);
const struct operation *operation_find(const char *name); /* NULL: there is none */
/* By the words of a command line, of which it takes *taken. */
const struct operation *operation_find_words(int count, char **words, int *taken);
/* As people call it, for a static place: "cast status". */
const char *operation_words(const struct operation *operation);

cJSON *operation_options_json(const struct operation_options *options);
/* ERROR_INVALID. `options` is released by the caller either way. */
bool operation_options_read(const cJSON *json, const struct operation *operation,
                            struct operation_options *options, struct error *err);
void operation_options_release(struct operation_options *options);

/* Of a result: 0 when it is not there. */
double operation_number(const cJSON *result, const char *name);
/* "1 segment", "2 segments": of a result, by a name in the singular; as operation_size. */
const char *operation_count_of(const cJSON *result, const char *name, const char *what);
/* "12.3 GiB", into one of a few static places: for printing. */
const char *operation_size(double bytes);
const char *operation_duration(double milliseconds);
