/* SPDX-License-Identifier: MIT */
#include "server/scu.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "server/serve.h"

enum { CONNECT_TIMEOUT_MS = 10 * 1000, TIMEOUT_MS = 60 * 1000, MAX_PDU = 256 << 10, MAX_JOBS = 64 };

enum scu_flag {
    SCU_COUNT = 1,
    SCU_JOBS = 2,
    SCU_QUERY = 4,
    SCU_LIMIT = 8,
    SCU_TO = 16,
    SCU_OUT = 32
};

static const struct scu_command commands[] = {
    {
        .name = "echo",
        .arguments = "HOST PORT",
        .summary = "ask whether a DICOM node answers, and how fast",
        .details = "Prints the time of each C-ECHO from request to answer.\n",
        .flags = SCU_COUNT,
        .run = scu_echo,
    },
    {
        .name = "send",
        .arguments = "HOST PORT FILE|FOLDER...",
        .summary = "store files on a DICOM node",
        .details =
            "Sends all Part 10 files, those in folders and the folders in them too, by C-STORE. "
            "They go\n"
            "as they are, in the transfer syntax that they have: what a peer does not take in it "
            "is not\n"
            "sent. What is no Part 10 file is passed over, as are DICOMDIRs and symbolic links.\n"
            "Each file that was not stored is named with the reason.\n",
        .flags = SCU_JOBS,
        .needs_words = true,
        .run = scu_send,
    },
    {
        .name = "find",
        .arguments = "HOST PORT KEY[=VALUE]...",
        .summary = "query a DICOM node",
        .details = "Keys are keywords or tags: PatientName=DOE*, 0020,000D=1.2.3; those without a "
                   "value are\n"
                   "returned. In sequences: RequestAttributesSequence.RequestedProcedureID=7.\n",
        .flags = SCU_QUERY | SCU_LIMIT,
        .run = scu_find_matches,
    },
    {
        .name = "move",
        .arguments = "HOST PORT --to AET KEY=VALUE...",
        .summary = "have a DICOM node send to another one",
        .details = "Keys are unique ones: PatientID, StudyInstanceUID, SeriesInstanceUID, "
                   "SOPInstanceUID;\n"
                   "several UIDs with backslashes between.\n",
        .flags = SCU_QUERY | SCU_TO,
        .needs_words = true,
        .run = scu_move,
    },
    {
        .name = "get",
        .arguments = "HOST PORT --out DIR KEY=VALUE...",
        .summary = "fetch files from a DICOM node",
        .details =
            "Keys as for move. Writes DIR/SOPINSTANCEUID.dcm for each instance. Without --class "
            "the\n"
            "images and documents of the usual kinds are asked for, uncompressed; with it those of "
            "one\n"
            "SOP class, as they are stored.\n",
        .flags = SCU_QUERY | SCU_OUT,
        .needs_words = true,
        .run = scu_get,
    },
};
enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static bool set_number(const char *value, unsigned maximum, unsigned *number)
{
    char *end;
    unsigned long long read = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end || read > maximum)
        return false;
    *number = (unsigned)read;
    return true;
}

static bool set_title(const char *value, const char **title)
{
    size_t size = strlen(value);
    *title = value;
    return size > 0 && size < AE_TITLE_SIZE && !strchr(value, '\\');
}

static bool set_aet(struct scu *scu, const char *value)
{
    return set_title(value, &scu->options.calling_ae);
}

static bool set_called(struct scu *scu, const char *value)
{
    return set_title(value, &scu->options.called_ae);
}

static bool set_to(struct scu *scu, const char *value)
{
    return set_title(value, &scu->destination);
}

static bool set_count(struct scu *scu, const char *value)
{
    return set_number(value, 1000000000, &scu->count);
}

static bool set_jobs(struct scu *scu, const char *value)
{
    return set_number(value, MAX_JOBS, &scu->jobs) && scu->jobs > 0;
}

static bool set_limit(struct scu *scu, const char *value)
{
    unsigned limit;
    bool ok = set_number(value, 1000000000, &limit) && limit > 0;
    scu->limit = ok ? limit : 0;
    return ok;
}

static bool set_level(struct scu *scu, const char *value)
{
    static const char *const levels[] = { "PATIENT", "STUDY", "SERIES", "IMAGE" };
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (!strcasecmp(levels[i], value))
            scu->level = levels[i];
    return scu->level != NULL;
}

static bool set_patient(struct scu *scu, const char *value)
{
    (void)value;
    scu->patient_root = true;
    return true;
}

static bool set_out(struct scu *scu, const char *value)
{
    scu->folder = value;
    return *value;
}

static bool set_class(struct scu *scu, const char *value)
{
    scu->sop_class = value;
    return uid_is_valid(value);
}

static bool set_timeout(struct scu *scu, const char *value)
{
    unsigned seconds;
    if (!set_number(value, 86400, &seconds) || !seconds)
        return false;
    scu->options.timeout_ms = seconds * 1000;
    if (scu->options.timeout_ms < scu->options.connect_timeout_ms)
        scu->options.connect_timeout_ms = scu->options.timeout_ms;
    return true;
}

static bool set_tls(struct scu *scu, const char *value)
{
    (void)value;
    scu->use_tls = true;
    return true;
}

static bool set_ca(struct scu *scu, const char *value)
{
    scu->tls_files.ca = value;
    return true;
}

static bool set_certificate(struct scu *scu, const char *value)
{
    scu->tls_files.certificate = value;
    return true;
}

static bool set_key(struct scu *scu, const char *value)
{
    scu->tls_files.key = value;
    return true;
}

static bool set_json(struct scu *scu, const char *value)
{
    (void)value;
    scu->json = true;
    return true;
}

static bool set_quiet(struct scu *scu, const char *value)
{
    (void)value;
    scu->quiet = true;
    return true;
}

static bool set_help(struct scu *scu, const char *value)
{
    (void)value;
    scu->help = true;
    return true;
}

static const struct flag {
    const char *name;
    const char *value; /* NULL: it takes none */
    unsigned commands; /* 0: every command takes it */
    bool (*set)(struct scu *scu, const char *value);
    const char *help;
} flags[] = {
    { "--aet", "TITLE", 0, set_aet, "our AE title (HOUNSFIELD)" },
    { "--called", "TITLE", 0, set_called, "the peer's AE title (ANY-SCP)" },
    { "--count", "N", SCU_COUNT, set_count, "so many times, a second apart; 0: until Ctrl-C" },
    { "--jobs", "N", SCU_JOBS, set_jobs, "so many associations at once (1)" },
    { "--to", "TITLE", SCU_TO, set_to, "the AE title to which is sent, as the peer knows it" },
    { "--out", "DIR", SCU_OUT, set_out, "where the files go; made when it is not there" },
    { "--class", "UID", SCU_OUT, set_class, "of this SOP class alone, in any transfer syntax" },
    { "--level", "LEVEL", SCU_QUERY, set_level,
      "PATIENT, STUDY, SERIES or IMAGE; else by the keys" },
    { "--patient-root", NULL, SCU_QUERY, set_patient, "the Patient Root model, not Study Root" },
    { "--limit", "N", SCU_LIMIT, set_limit, "cancel after so many matches" },
    { "--json", NULL, SCU_LIMIT, set_json, "matches in the DICOM JSON model" },
    { "--timeout", "SECONDS", 0, set_timeout, "for each answer (60)" },
    { "--tls", NULL, 0, set_tls, "over TLS" },
    { "--ca", "FILE", 0, set_ca, "PEM: by whom the peer's certificate is verified" },
    { "--cert", "FILE", 0, set_certificate, "PEM: our certificate" },
    { "--key", "FILE", 0, set_key, "PEM: its key" },
    { "--quiet", NULL, 0, set_quiet, "no progress" },
    { "--help", NULL, 0, set_help, "this text" },
};
enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

static bool takes(const struct scu_command *command, const struct flag *flag)
{
    return !flag->commands || (command->flags & flag->commands);
}

const struct scu_command *scu_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

void scu_print_list(FILE *out)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "       hounsfield %-22s  %s\n", commands[i].name, commands[i].summary);
}

void scu_print_help(const struct scu_command *command, FILE *out)
{
    fprintf(out, "hounsfield %s - %s\n\nUsage: hounsfield %s [FLAG]... %s\n\n%s\nFlags:\n",
            command->name, command->summary, command->name, command->arguments, command->details);
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        char usage[32];
        if (!takes(command, &flags[i]))
            continue;
        snprintf(usage, sizeof(usage), "%s %s", flags[i].name,
                 flags[i].value ? flags[i].value : "");
        fprintf(out, "  %-18s %s\n", usage, flags[i].help);
    }
    fputs("\nCtrl-C ends it. Exit status: 0 done, 1 failed, some of it or all, 2 wrong usage, 130 "
          "ended by\nCtrl-C (143 by SIGTERM) before it was done.\n",
          out);
}

static bool take_word(struct scu *scu, char **arguments, int left, int *taken, struct error *err)
{
    const char *word = arguments[0];
    *taken = 1;
    for (size_t i = 0; i < FLAG_COUNT; i++) {
        const struct flag *flag = &flags[i];
        if (strcmp(flag->name, word) || !takes(scu->command, flag))
            continue;
        if (flag->value && left < 2)
            return error_set(err, ERROR_INVALID, "%s needs a value: %s %s", word, word,
                             flag->value);
        *taken += flag->value != NULL;
        const char *value = flag->value ? arguments[1] : "";
        return flag->set(scu, value) ||
               error_set(err, ERROR_INVALID, "%s takes no \"%.100s\"", word, value);
    }
    if (word[0] == '-' && word[1] && strcmp(word, "-h"))
        return error_set(err, ERROR_INVALID, "%s takes no %s (see hounsfield %s --help)",
                         scu->command->name, word, scu->command->name);
    if (!strcmp(word, "-h"))
        scu->help = true;
    else
        scu->words[scu->word_count++] = arguments[0];
    return true;
}

static bool take_address(struct scu *scu, struct error *err)
{
    unsigned port = 0;
    if (scu->word_count < 2)
        return error_set(err, ERROR_INVALID, "usage: hounsfield %s %s", scu->command->name,
                         scu->command->arguments);
    if (!set_number(scu->words[1], 65535, &port) || !port)
        return error_set(err, ERROR_INVALID, "%.100s is no port", scu->words[1]);
    scu->options.host = scu->words[0];
    scu->options.port = (uint16_t)port;
    scu->words += 2;
    scu->word_count -= 2;
    if (scu->command->needs_words && !scu->word_count)
        return error_set(err, ERROR_INVALID, "usage: hounsfield %s %s", scu->command->name,
                         scu->command->arguments);
    if (scu->command->run == scu_echo && scu->word_count)
        return error_set(err, ERROR_INVALID, "echo takes no %.100s", scu->words[0]);
    return true;
}

static bool check(const struct scu *scu, struct error *err)
{
    bool has_files = scu->tls_files.ca || scu->tls_files.certificate || scu->tls_files.key;
    if ((scu->command->flags & SCU_TO) && !scu->destination)
        return error_set(err, ERROR_INVALID, "move needs --to TITLE");
    if ((scu->command->flags & SCU_OUT) && !scu->folder)
        return error_set(err, ERROR_INVALID, "get needs --out DIR");
    if (has_files && !scu->use_tls)
        return error_set(err, ERROR_INVALID, "--ca, --cert and --key go with --tls");
    if (scu->use_tls && !scu->tls_files.ca)
        return error_set(err, ERROR_INVALID, "--tls needs --ca, to know the peer by");
    if (!scu->tls_files.certificate != !scu->tls_files.key)
        return error_set(err, ERROR_INVALID, "--cert and --key go together");
    return true;
}

static bool parse(struct scu *scu, int count, char **arguments, struct error *err)
{
    int taken = 1;
    for (int i = 0; i < count; i += taken)
        if (!take_word(scu, arguments + i, count - i, &taken, err))
            return false;
    return scu->help || (take_address(scu, err) && check(scu, err));
}

static int stop_fd = -1;
static volatile sig_atomic_t interrupted_by; /* the signal */

static void interrupt(int number)
{
    uint64_t one = 1;
    interrupted_by = number;
    ssize_t written = write(stop_fd, &one, sizeof(one));
    (void)written; /* fails only when it is raised already */
}

bool scu_is_interrupted(void)
{
    return interrupted_by != 0;
}

/* Who asks a second time does not want to wait. */
static void heed_signals(void)
{
    struct sigaction action = { .sa_handler = interrupt, .sa_flags = (int)SA_RESETHAND };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int scu_fail(struct scu *scu, const struct error *err)
{
    progress_end(&scu->progress);
    fprintf(stderr, "hounsfield: %s: %s\n", scu->command->name,
            interrupted_by ? "interrupted" : err->message);
    return SCU_FAILED;
}

int scu_misuse(struct scu *scu, const struct error *err)
{
    scu_fail(scu, err);
    return SCU_USAGE;
}

static int run(struct scu *scu)
{
    struct error err;
    log_set_level(LOG_LEVEL_ERROR);
    umask(S_IWGRP | S_IRWXO); /* what is fetched holds patients' data */
    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    scu->options.stop_fd = stop_fd;
    heed_signals();
    raise_descriptor_limit();
    progress_init(&scu->progress, scu->quiet);
    if (scu->use_tls && !tls_credentials_load(&scu->tls_files, &scu->tls, &err))
        return scu_misuse(scu, &err);
    scu->options.tls = scu->tls;
    int status = scu->command->run(scu);
    progress_end(&scu->progress);
    if (fflush(stdout) != 0) {
        fprintf(stderr, "hounsfield: the result cannot be written\n");
        return SCU_FAILED;
    }
    /* As a shell reports who was ended by a signal. */
    return status == SCU_FAILED && interrupted_by ? 128 + interrupted_by : status;
}

int scu_run(const struct scu_command *command, int argument_count, char **arguments)
{
    struct scu scu = {
        .command = command,
        .options = { .calling_ae = "HOUNSFIELD",
                     .called_ae = "ANY-SCP",
                     .max_pdu = MAX_PDU,
                     .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                     .timeout_ms = TIMEOUT_MS,
                     .stop_fd = -1 },
        .count = 1,
        .jobs = 1,
    };
    struct error err;
    int status = SCU_OK;
    char **words = mem_alloc_array((size_t)argument_count + 1, sizeof(*words));
    scu.words = words;
    if (!parse(&scu, argument_count, arguments, &err)) {
        fprintf(stderr, "hounsfield: %s\n", err.message);
        status = SCU_USAGE;
    } else if (scu.help) {
        scu_print_help(command, stdout);
    } else {
        status = run(&scu);
    }
    tls_credentials_free(scu.tls);
    if (stop_fd >= 0)
        close(stop_fd);
    free(words);
    return status;
}
