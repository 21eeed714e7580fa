/* SPDX-License-Identifier: MIT */
#pragma once
/* What we ask of other DICOM nodes: echo, send, find, move, get. One table says what there is; a
 * command needs neither a server nor a data directory. */

#include <stdio.h>

#include "base/tls.h"
#include "dimse/client.h"
#include "dimse/client_keys.h"
#include "server/progress.h"

struct scu {
    const struct scu_command *command;
    struct client_options options;
    struct tls_files tls_files;
    struct tls_credentials *tls;
    bool use_tls;
    bool patient_root;
    bool worklist;
    bool json;
    bool quiet;
    bool help;
    unsigned count; /* of echoes; 0: until it is ended */
    unsigned jobs;
    unsigned limit; /* matches, 0: all */
    const char *level;
    const char *destination;
    const char *folder;
    const char *sop_class;
    char **words; /* what is no flag, behind host and port */
    size_t word_count;
    struct progress progress;
};

enum scu_status { SCU_OK, SCU_FAILED, SCU_USAGE };

struct scu_command {
    const char *name;
    const char *arguments;
    const char *summary;
    const char *details;
    unsigned flags;
    bool needs_words;
    int (*run)(struct scu *scu);
};

const struct scu_command *scu_find(const char *name); /* NULL: there is none */
void scu_print_list(FILE *out);
void scu_print_help(const struct scu_command *command, FILE *out);
/* The exit status. */
int scu_run(const struct scu_command *command, int argument_count, char **arguments);

/* For the commands. */
int scu_echo(struct scu *scu);
int scu_send(struct scu *scu);
int scu_find_matches(struct scu *scu);
int scu_move(struct scu *scu);
int scu_get(struct scu *scu);

bool scu_is_interrupted(void);
/* Until the time is over, or all is interrupted. */
void scu_pause(const struct scu *scu, unsigned ms);
/* As client_open. A peer that rejects for now (ERROR_BUSY, PS3.8 9.3.4) is asked a few times more,
 * which is told. Thread-safe. */
bool scu_open(struct scu *scu, const struct proposal *proposals, size_t count,
              struct association **out, struct error *err);
/* Says on standard error what went wrong, and what to do about a title that was not recognized;
 * SCU_FAILED. */
int scu_fail(struct scu *scu, const struct error *err);
/* The same for what cannot be asked; SCU_USAGE. */
int scu_misuse(struct scu *scu, const struct error *err);

/* A request with an identifier, on its way. */
struct scu_query {
    struct client_keys keys;
    struct buffer identifier;
    struct association *association;
    const struct presentation_context *context;
    uint16_t message_id;
};
enum scu_service { SCU_FIND, SCU_MOVE, SCU_GET };
/* The words as keys, with the level: the one that was given, else the deepest of which there is a
 * unique key. */
bool scu_query_keys(struct scu *scu, struct scu_query *query, struct error *err);
/* Opens the association, with these proposals (storage, for C-GET) behind that of the model, and
 * sends the request. */
bool scu_query_begin(struct scu *scu, struct scu_query *query, enum scu_service service,
                     const struct proposal *more, size_t count, struct error *err);
/* The same request again is not made: ends it. */
void scu_query_end(struct scu_query *query);
/* How far sub-operations are. */
void scu_query_progress(struct scu *scu, const struct command *answer, const char *phase);
/* Prints what came of sub-operations; the exit status. */
int scu_query_summary(struct scu *scu, const struct command *answer, const char *verb);
