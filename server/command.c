/* SPDX-License-Identifier: MIT */
#include "server/command.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "dicom/uid.h"
#include "server/control.h"
#include "server/flags.h"
#include "server/progress.h"
#include "server/serve.h"
#include "server/settings.h"
#include "storage/storage.h"

struct command {
    const struct operation *operation;
    struct operation_options options;
    struct settings *settings;
    struct progress progress;
    bool json;
    bool quiet;
    bool help;
    const char *data;
    const char *config;
};

/* The flags. */

static bool set_limit(void *object, const char *value)
{
    struct command *command = object;
    double mib;
    if (!flags_read_number(value, 0.001, 1e6, &mib))
        return false;
    command->options.bytes_per_second = (uint64_t)(mib * (1 << 20));
    return true;
}

static bool set_dead(void *object, const char *value)
{
    struct command *command = object;
    double percent;
    if (!flags_read_number(value, 0, 100, &percent))
        return false;
    command->options.dead_share = percent / 100;
    return true;
}

static bool set_position(void *object, const char *value)
{
    struct command *command = object;
    double position;
    if (!flags_read_number(value, 0, 9007199254740992.0, &position))
        return false;
    command->options.position = (uint64_t)position;
    return true;
}

static bool set_study(void *object, const char *value)
{
    struct command *command = object;
    if (!uid_is_safe(slice_text(value)))
        return false;
    snprintf(command->options.study, sizeof(command->options.study), "%s", value);
    return true;
}

#define AT(field) .offset = offsetof(struct command, field)

static const struct flag flags[] = {
    { "--data", "DIR", 0, AT(data), .help = "the data directory (./var)" },
    { "--config", "FILE", 0, AT(config),
      .help = "the server's settings file; what --data says counts" },
    { "--dry-run", NULL, OPERATION_DRY_RUN, AT(options.dry_run),
      .help = "tell what would be done, change nothing" },
    { "--quick", NULL, OPERATION_QUICK, AT(options.quick), .help = "leave out what takes long" },
    { "--limit", "MIB", OPERATION_LIMIT, .set = set_limit, .takes = "MiB a second above 0",
      .help = "read and write at most so many MiB a second" },
    { "--dead", "PERCENT", OPERATION_DEAD, .set = set_dead, .takes = "a percentage, 0 to 100",
      .help = "take up segments of which at least so much is dead" },
    { "--check", NULL, OPERATION_CHECK, AT(options.check),
      .help = "read it all again when it is written" },
    { "--study", "UID", OPERATION_STUDY, .set = set_study, .takes = "a Study Instance UID",
      .help = "this study, whether it is parked or not" },
    { "--position", "N", OPERATION_POSITION, .set = set_position,
      .takes = "a number of the change feed", .help = "what came after this change (0)" },
    { "--json", NULL, 0, AT(json), .help = "the result as one JSON document" },
    { "--quiet", NULL, 0, AT(quiet), .help = "no progress" },
    { "--help", NULL, 0, AT(help), .help = "this text" },
};
enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

void command_print_list(FILE *out)
{
    for (size_t i = 0; i < operation_count; i++) {
        char usage[32];
        snprintf(usage, sizeof(usage), "%s%s%s", operation_words(&operations[i]),
                 operations[i].argument ? " " : "",
                 operations[i].argument ? operations[i].argument : "");
        fprintf(out, "       hounsfield %-22s  %s\n", usage, operations[i].summary);
    }
}

void command_print_help(const struct operation *operation, FILE *out)
{
    fprintf(out, "hounsfield %s - %s\n\nUsage: hounsfield %s%s%s [FLAG]...\n\n%s\nFlags:\n",
            operation_words(operation), operation->summary, operation_words(operation),
            operation->argument ? " " : "", operation->argument ? operation->argument : "",
            operation->details);
    flags_print(flags, FLAG_COUNT, operation->flags, out);
    fprintf(out,
            "\n%s\nCtrl-C ends it in order. Exit status: 0 done, 1 failed or cancelled, "
            "2 wrong usage%s.\n",
            operation->offline  ? "The server must not run."
            : operation->online ? "The server that uses the directory does it, and must run."
                                : "While a server uses the directory, the server does it.",
            operation->findings ? ", 3 something was found" : "");
}

static char *absolute_path(const char *path)
{
    char folder[4096];
    if (path[0] == '/' || !getcwd(folder, sizeof(folder)))
        return mem_copy_text(path);
    return mem_format("%s/%s", folder, path);
}

static bool take_word(struct command *command, char **words, int left, int *taken,
                      struct error *err)
{
    const struct operation *operation = command->operation;
    const char *word = words[0];
    if (!flags_take(flags, FLAG_COUNT, operation->flags, command, words, left, taken, err))
        return false;
    if (*taken)
        return true;
    *taken = 1;
    if (word[0] == '-' || !operation->argument || command->options.directory)
        return error_set(err, ERROR_INVALID, "%s takes no %.60s (see hounsfield %s --help)",
                         operation->name, word, operation_words(operation));
    command->options.directory = absolute_path(word);
    return true;
}

/* The words of these flags for settings_load. */
static bool load_settings(struct command *command, struct error *err)
{
    char *words[4];
    int count = 0;
    if (command->config) {
        words[count++] = (char *)"--config";
        words[count++] = (char *)command->config;
    }
    if (command->data) {
        words[count++] = (char *)"--data";
        words[count++] = (char *)command->data;
    }
    return settings_load(count, words, &command->settings, err);
}

static bool parse(struct command *command, int count, char **arguments, struct error *err)
{
    int taken = 1;
    command->options.dead_share = 0.5;
    for (int i = 0; i < count; i += taken)
        if (!take_word(command, arguments + i, count - i, &taken, err))
            return false;
    if (command->help)
        return true;
    if (command->operation->argument && !command->options.directory)
        return error_set(err, ERROR_INVALID, "%s needs a directory: hounsfield %s %s",
                         command->operation->name, command->operation->name,
                         command->operation->argument);
    return load_settings(command, err);
}

/* The work. */

static volatile sig_atomic_t is_interrupted;

static void interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

/* Who asks a second time does not want to wait. */
static void heed_signals(void)
{
    struct sigaction action = { .sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool is_cancelled(void *context)
{
    (void)context;
    return is_interrupted;
}

static void show(void *context, const char *phase, const char *unit, uint64_t done, uint64_t total)
{
    struct command *command = context;
    progress_show(&command->progress, phase, unit, done, total);
}

/* Opening makes a directory that is not there, which nobody wants here. */
static bool check_directory(const char *path, struct error *err)
{
    struct stat status;
    char *format = mem_format("%s/FORMAT", path);
    bool ok = stat(format, &status) == 0;
    if (!ok)
        error_set(err, ERROR_NOT_FOUND, "%.150s is no data directory: %s", path, strerror(errno));
    free(format);
    return ok;
}

static bool ask_server(struct command *command, const char *path, struct job *job, cJSON **result,
                       struct error *err)
{
    bool is_there = true;
    if (control_ask(path, command->operation, &command->options, job, result, &is_there, err))
        return true;
    return !is_there && error_set(err, ERROR_BUSY,
                                  "%.100s is in use by another process, and it is no server that "
                                  "takes commands: another command perhaps; wait for its end",
                                  path);
}

static bool run_here(struct command *command, struct storage *storage, struct job *job,
                     cJSON *result, struct error *err)
{
    const struct settings *settings = command->settings;
    const struct archive_options options = {
        .ae_title = settings->ae_title,
        .minimum_free_bytes = (uint64_t)(settings->minimum_free_mib * (1 << 20)),
    };
    struct operation_place place = { .storage = storage,
                                     .data_directory = settings->data_directory,
                                     .ae_title = settings->ae_title };
    if (!archive_open(storage, &options, &place.archive, err))
        return false;
    bool ok = command->operation->run(&place, &command->options, job, result, err);
    archive_close(place.archive);
    return ok;
}

static bool work(struct command *command, cJSON **result, struct error *err)
{
    const struct settings *settings = command->settings;
    const struct storage_options options = {
        .path = settings->data_directory,
        .segment_size = (uint64_t)(settings->segment_size_mib * (1 << 20)),
    };
    struct operation_place place = { .data_directory = settings->data_directory,
                                     .ae_title = settings->ae_title };
    struct storage *storage = NULL;
    struct job job = { .progress = show,
                       .cancelled = is_cancelled,
                       .context = command,
                       .bytes_per_second = command->options.bytes_per_second };
    if (command->operation->offline) {
        *result = cJSON_CreateObject();
        return command->operation->run(&place, &command->options, &job, *result, err);
    }
    if (!check_directory(settings->data_directory, err))
        return false;
    if (!storage_open(&options, &storage, err))
        return err->code == ERROR_BUSY &&
               ask_server(command, settings->data_directory, &job, result, err);
    if (command->operation->online) {
        storage_close(storage);
        return error_set(err, ERROR_UNSUPPORTED,
                         "no server uses the data directory; start it first");
    }
    *result = cJSON_CreateObject();
    bool ok = run_here(command, storage, &job, *result, err);
    storage_close(storage);
    return ok;
}

static void print_json(struct command *command, cJSON *result, const struct error *err)
{
    cJSON *document = cJSON_CreateObject();
    cJSON_AddStringToObject(document, "command", command->operation->name);
    if (err) {
        cJSON *error = cJSON_AddObjectToObject(document, "error");
        cJSON_AddStringToObject(error, "code", error_name(err->code));
        cJSON_AddStringToObject(error, "message", err->message);
    } else {
        cJSON_AddItemReferenceToObject(document, "result", result);
    }
    char *text = cJSON_Print(document);
    puts(text);
    free(text);
    cJSON_Delete(document);
}

static int finish(struct command *command, bool ok, cJSON *result, const struct error *err)
{
    const struct operation *operation = command->operation;
    progress_end(&command->progress);
    if (command->json)
        print_json(command, result, ok ? NULL : err);
    else if (ok)
        operation->print(result, stdout);
    if (!ok)
        fprintf(stderr, "hounsfield: %s: %s\n", operation->name, err->message);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "hounsfield: the result cannot be written: %s\n", strerror(errno));
        return COMMAND_FAILED;
    }
    if (!ok)
        return COMMAND_FAILED;
    return operation->findings && operation->findings(result) ? COMMAND_FOUND : COMMAND_OK;
}

int command_run(const struct operation *operation, int argument_count, char **arguments)
{
    struct command command = { .operation = operation };
    struct error err = { 0 };
    cJSON *result = NULL;
    int status = COMMAND_OK;
    if (!parse(&command, argument_count, arguments, &err)) {
        fprintf(stderr, "hounsfield: %s\n", err.message);
        status = COMMAND_USAGE;
    } else if (command.help) {
        command_print_help(operation, stdout);
    } else {
        log_set_level(LOG_LEVEL_WARN);
        umask(S_IWGRP | S_IRWXO); /* as the server's files */
        heed_signals();
        raise_descriptor_limit();
        progress_init(&command.progress, command.quiet);
        bool ok = work(&command, &result, &err);
        status = finish(&command, ok, result, &err);
    }
    cJSON_Delete(result);
    settings_free(command.settings);
    operation_options_release(&command.options);
    return status;
}
