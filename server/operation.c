/* SPDX-License-Identifier: MIT */
#include "server/operation.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/uid.h"
#include "server/operations.h"

const struct operation operations[] = {
    {
        .name = "verify",
        .flags = OPERATION_QUICK | OPERATION_LIMIT,
        .alone = true,
        .summary = "look whether every image is there and whole",
        .details =
            "Reads every record of the segments and compares its checksum, its place in the index\n"
            "and the header that is kept there; and every entry of the index against the "
            "segments.\n"
            "Counts and search terms are compared too, and the worklist with its own index. "
            "Changes\n"
            "nothing, and works while the server runs. What it finds is listed; exit status 3 "
            "says that\n"
            "there was something.\n",
        .run = operation_verify,
        .print = operation_verify_print,
        .findings = operation_verify_findings,
    },
    {
        .name = "backup",
        .argument = "DIR",
        .flags = OPERATION_DRY_RUN | OPERATION_LIMIT | OPERATION_CHECK,
        .alone = true,
        .summary = "copy the archive to DIR, or bring the copy there up to date",
        .details =
            "The copy is whole as of one moment, and is made while the server goes on. The first "
            "time\n"
            "all is copied, then what has changed since. Until it ends the backup in DIR is the "
            "one\n"
            "before. DIR should be on another disk; it is made when missing, but what it is in "
            "must "
            "be\n"
            "there: a disk that is not mounted is told. --check reads all of it when it is "
            "written.\n",
        .run = operation_backup,
        .print = operation_backup_print,
    },
    {
        .name = "restore",
        .argument = "DIR",
        .flags = OPERATION_DRY_RUN | OPERATION_LIMIT,
        .offline = true,
        .summary = "fill an empty data directory from the backup in DIR",
        .details = "The data directory must be missing or empty. It is none before all of it is "
                   "there, and an\n"
                   "error leaves nothing behind.\n",
        .run = operation_restore,
        .print = operation_restore_print,
    },
    {
        .name = "rebuild",
        .flags = OPERATION_DRY_RUN | OPERATION_LIMIT,
        .offline = true,
        .summary = "make the index anew from the images",
        .details = "For an index that is lost or damaged. Reads all segments and builds a new "
                   "index beside\n"
                   "the old one, which is kept as index.old-TIME; the worklist, of which no image "
                   "tells, is\n"
                   "taken over from that. The images are not touched. Exit status 3 says that some "
                   "records\n"
                   "were broken and could not be taken in.\n",
        .run = operation_rebuild,
        .print = operation_rebuild_print,
        .findings = operation_rebuild_findings,
    },
    {
        .name = "compact",
        .flags = OPERATION_DRY_RUN | OPERATION_LIMIT | OPERATION_DEAD,
        .alone = true,
        .summary = "give the space of deleted images back",
        .details = "Moves what lives in segments of which much is dead (--dead, 50 unless told "
                   "otherwise) and\n"
                   "removes them. Beside everything else; the server also does it by itself.\n",
        .run = operation_compact,
        .print = operation_compact_print,
    },
    {
        .name = "stats",
        .flags = OPERATION_QUICK,
        .summary = "count what is there, and what it takes",
        .details =
            "Patients, studies, series, instances; bytes by modality, SOP class and transfer "
            "syntax;\n"
            "segments, index, change feed and who follows it. --quick leaves SOP classes and\n"
            "transfer syntaxes out, for which every instance record has to be read.\n",
        .run = operation_stats,
        .print = operation_stats_print,
    },
    {
        .name = "cast-status",
        .online = true,
        .summary = "how far the FHIR server is in step",
        .details = "Where the cast is in the change feed, what waits, whether the FHIR server "
                   "answers, and when it\n"
                   "last did.\n",
        .run = operation_cast_status,
        .print = operation_cast_status_print,
    },
    {
        .name = "cast-parked",
        .online = true,
        .summary = "the studies that the FHIR server does not take",
        .details = "A parked study holds up no other. It is tried again when it changes, when the "
                   "server starts, and\n"
                   "by cast replay. Exit status 3 says that there are some.\n",
        .run = operation_cast_parked,
        .print = operation_cast_parked_print,
        .findings = operation_cast_parked_findings,
    },
    {
        .name = "cast-replay",
        .flags = OPERATION_STUDY,
        .online = true,
        .summary = "try parked studies again, or one study",
        .details = "At once, and all that are parked when none is named. A pause that the FHIR "
                   "server is left alone\n"
                   "for ends.\n",
        .run = operation_cast_replay,
        .print = operation_cast_replay_print,
    },
    {
        .name = "cast-reset",
        .flags = OPERATION_POSITION,
        .online = true,
        .summary = "cast the change feed again from a position on",
        .details = "0, unless told otherwise, looks at every study anew. What agrees already is "
                   "not written.\n",
        .run = operation_cast_reset,
        .print = operation_cast_reset_print,
    },
    {
        .name = "cast-reconcile",
        .flags = OPERATION_DRY_RUN,
        .online = true,
        .alone = true,
        .summary = "compare the archive with the FHIR server and repair",
        .details = "Looks at each study here, and at each ImagingStudy of ours there: missing, "
                   "differing, too much, there\n"
                   "twice. --dry-run only lists. Goes on beside the cast; studies that wait for it "
                   "are left to it. Exit\n"
                   "status 3 says that something was found and not repaired.\n",
        .run = operation_cast_reconcile,
        .print = operation_cast_reconcile_print,
        .findings = operation_cast_reconcile_findings,
    },
};
const size_t operation_count = sizeof(operations) / sizeof(operations[0]);

_Static_assert(sizeof(operations) / sizeof(operations[0]) <= OPERATIONS_MAX, "all have turns");

bool operation_enter(struct operation_turns *turns, const struct operation *operation,
                     struct error *err)
{
    if (!operation->alone || !turns)
        return true;
    pthread_mutex_lock(&turns->lock);
    bool *busy = &turns->busy[operation - operations];
    bool was_busy = *busy;
    *busy = true;
    pthread_mutex_unlock(&turns->lock);
    return !was_busy || error_set(err, ERROR_BUSY, "a %s is under way already", operation->name);
}

void operation_leave(struct operation_turns *turns, const struct operation *operation)
{
    if (!operation->alone || !turns)
        return;
    pthread_mutex_lock(&turns->lock);
    turns->busy[operation - operations] = false;
    pthread_mutex_unlock(&turns->lock);
}

const struct operation *operation_find(const char *name)
{
    for (size_t i = 0; i < operation_count; i++)
        if (!strcmp(operations[i].name, name))
            return &operations[i];
    return NULL;
}

const struct operation *operation_find_words(int count, char **words, int *taken)
{
    char joined[64];
    *taken = 1;
    if (count > 0 && operation_find(words[0]))
        return operation_find(words[0]);
    if (count < 2)
        return NULL;
    *taken = 2;
    snprintf(joined, sizeof(joined), "%s-%s", words[0], words[1]);
    return operation_find(joined);
}

const char *operation_words(const struct operation *operation)
{
    static _Thread_local char words[64];
    snprintf(words, sizeof(words), "%s", operation->name);
    char *dash = strchr(words, '-');
    if (dash)
        *dash = ' ';
    return words;
}

cJSON *operation_options_json(const struct operation_options *options)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddBoolToObject(json, "dryRun", options->dry_run);
    cJSON_AddBoolToObject(json, "quick", options->quick);
    cJSON_AddBoolToObject(json, "check", options->check);
    cJSON_AddNumberToObject(json, "deadShare", options->dead_share);
    cJSON_AddNumberToObject(json, "bytesPerSecond", (double)options->bytes_per_second);
    cJSON_AddNumberToObject(json, "position", (double)options->position);
    if (*options->study)
        cJSON_AddStringToObject(json, "study", options->study);
    if (options->directory)
        cJSON_AddStringToObject(json, "directory", options->directory);
    return json;
}

bool operation_options_read(const cJSON *json, const struct operation *operation,
                            struct operation_options *options, struct error *err)
{
    const cJSON *directory = cJSON_GetObjectItemCaseSensitive(json, "directory");
    const cJSON *share = cJSON_GetObjectItemCaseSensitive(json, "deadShare");
    double rate = operation_number(json, "bytesPerSecond");
    memset(options, 0, sizeof(*options));
    options->dry_run = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "dryRun"));
    options->quick = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "quick"));
    options->check = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "check"));
    options->dead_share = cJSON_IsNumber(share) ? share->valuedouble : 1;
    if (!(options->dead_share >= 0 && options->dead_share <= 1) || !(rate >= 0 && rate < 1e15))
        return error_set(err, ERROR_INVALID, "an option is out of its range");
    options->bytes_per_second = (uint64_t)rate;
    double position = operation_number(json, "position");
    if (!(position >= 0 && position <= 9007199254740992.0))
        return error_set(err, ERROR_INVALID, "an option is out of its range");
    options->position = (uint64_t)position;
    const cJSON *study = cJSON_GetObjectItemCaseSensitive(json, "study");
    if (study && (!cJSON_IsString(study) || !uid_is_safe(slice_text(study->valuestring))))
        return error_set(err, ERROR_INVALID, "study is a Study Instance UID");
    if (study)
        snprintf(options->study, sizeof(options->study), "%s", study->valuestring);
    if (!operation->argument)
        return true;
    if (!cJSON_IsString(directory) || directory->valuestring[0] != '/')
        return error_set(err, ERROR_INVALID, "%s needs an absolute directory", operation->name);
    options->directory = mem_copy_text(directory->valuestring);
    return true;
}

void operation_options_release(struct operation_options *options)
{
    free(options->directory);
    options->directory = NULL;
}

double operation_number(const cJSON *result, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(result, name);
    return cJSON_IsNumber(value) ? value->valuedouble : 0;
}

enum { PLACES = 8, PLACE_SIZE = 32 };

const char *operation_count_of(const cJSON *result, const char *name, const char *what)
{
    static _Thread_local char places[PLACES][2 * PLACE_SIZE];
    static _Thread_local int next;
    char *text = places[next = (next + 1) % PLACES];
    double count = operation_number(result, name);
    snprintf(text, sizeof(places[0]), "%.0f %.30s%s", count, what, count == 1 ? "" : "s");
    return text;
}

const char *operation_size(double bytes)
{
    static _Thread_local char places[PLACES][PLACE_SIZE];
    static _Thread_local int next;
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    char *text = places[next = (next + 1) % PLACES];
    size_t unit = 0;
    while (bytes >= 1024 && unit < 5) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, PLACE_SIZE, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
    return text;
}

const char *operation_duration(double milliseconds)
{
    static _Thread_local char places[PLACES][PLACE_SIZE];
    static _Thread_local int next;
    char *text = places[next = (next + 1) % PLACES];
    long long seconds = (long long)(milliseconds / 1000);
    if (seconds < 60)
        snprintf(text, PLACE_SIZE, "%.1f s", milliseconds / 1000);
    else if (seconds < 3600)
        snprintf(text, PLACE_SIZE, "%lld:%02lld min", seconds / 60, seconds % 60);
    else
        snprintf(text, PLACE_SIZE, "%lld:%02lld:%02lld h", seconds / 3600, seconds / 60 % 60,
                 seconds % 60);
    return text;
}
