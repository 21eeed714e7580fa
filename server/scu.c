/* SPDX-License-Identifier: MIT */
#include "server/scu.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "server/flags.h"
#include "server/serve.h"
#include "server/settings_parts.h"

enum {
    CONNECT_TIMEOUT_MS = 10 * 1000,
    TIMEOUT_MS = 60 * 1000,
    MAX_PDU = 256 << 10,
    MAX_JOBS = 64,
    MAX_COUNT = 1000000000,
    ATTEMPTS = 6, /* at an association that is rejected for now: some fifteen seconds in all */
    FIRST_PAUSE_MS = 500,
};

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

static bool read_title(const char *value, const char **title)
{
    *title = value;
    return settings_is_ae_title(value);
}

static bool set_aet(void *object, const char *value)
{
    return read_title(value, &((struct scu *)object)->options.calling_ae);
}

static bool set_called(void *object, const char *value)
{
    return read_title(value, &((struct scu *)object)->options.called_ae);
}

static bool set_to(void *object, const char *value)
{
    return read_title(value, &((struct scu *)object)->destination);
}

static bool set_count(void *object, const char *value)
{
    return flags_read_count(value, 0, MAX_COUNT, &((struct scu *)object)->count);
}

static bool set_jobs(void *object, const char *value)
{
    return flags_read_count(value, 1, MAX_JOBS, &((struct scu *)object)->jobs);
}

static bool set_limit(void *object, const char *value)
{
    return flags_read_count(value, 1, MAX_COUNT, &((struct scu *)object)->limit);
}

static bool set_level(void *object, const char *value)
{
    static const char *const levels[] = { "PATIENT", "STUDY", "SERIES", "IMAGE" };
    struct scu *scu = object;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (!strcasecmp(levels[i], value))
            scu->level = levels[i];
    return scu->level != NULL;
}

static bool set_out(void *object, const char *value)
{
    ((struct scu *)object)->folder = value;
    return *value;
}

static bool set_class(void *object, const char *value)
{
    ((struct scu *)object)->sop_class = value;
    return uid_is_valid(value);
}

static bool set_timeout(void *object, const char *value)
{
    struct client_options *options = &((struct scu *)object)->options;
    unsigned seconds;
    if (!flags_read_count(value, 1, 86400, &seconds))
        return false;
    options->timeout_ms = seconds * 1000;
    if (options->timeout_ms < options->connect_timeout_ms)
        options->connect_timeout_ms = options->timeout_ms;
    return true;
}

#define AT(field) .offset = offsetof(struct scu, field)

static const char a_title[] = "an AE title of 1 to 16 characters";

static const struct flag flags[] = {
    { "--aet", "TITLE", 0, .set = set_aet, .takes = a_title, .help = "our AE title (HOUNSFIELD)" },
    { "--called", "TITLE", 0, .set = set_called, .takes = a_title,
      .help = "the peer's AE title; most must hear theirs (ANY-SCP, for those that do not care)" },
    { "--count", "N", SCU_COUNT, .set = set_count, .takes = "a whole number",
      .help = "so many times, a second apart; 0: until Ctrl-C" },
    { "--jobs", "N", SCU_JOBS, .set = set_jobs, .takes = "1 to 64",
      .help = "so many associations at once (1)" },
    { "--to", "TITLE", SCU_TO, .set = set_to, .takes = a_title,
      .help = "the AE title to which is sent, as the peer knows it" },
    { "--out", "DIR", SCU_OUT, .set = set_out, .takes = "a directory",
      .help = "where the files go; made when it is not there" },
    { "--class", "UID", SCU_OUT, .set = set_class, .takes = "the UID of a SOP class",
      .help = "of this SOP class alone, in any transfer syntax" },
    { "--level", "LEVEL", SCU_QUERY, .set = set_level, .takes = "PATIENT, STUDY, SERIES or IMAGE",
      .help = "PATIENT, STUDY, SERIES or IMAGE; else that of the lowest UID with a value" },
    { "--patient-root", NULL, SCU_QUERY, AT(patient_root),
      .help = "the Patient Root model, not Study Root" },
    { "--worklist", NULL, SCU_LIMIT, AT(worklist),
      .help = "the Modality Worklist: what is planned; no level" },
    { "--limit", "N", SCU_LIMIT, .set = set_limit, .takes = "a whole number above 0",
      .help = "cancel after so many matches" },
    { "--json", NULL, SCU_LIMIT, AT(json), .help = "matches in the DICOM JSON model" },
    { "--timeout", "SECONDS", 0, .set = set_timeout, .takes = "1 to 86400 seconds",
      .help = "for each answer (60)" },
    { "--tls", NULL, 0, AT(use_tls), .help = "over TLS" },
    { "--ca", "FILE", 0, AT(tls_files.ca),
      .help = "PEM: by whom the peer's certificate is verified" },
    { "--cert", "FILE", 0, AT(tls_files.certificate), .help = "PEM: our certificate" },
    { "--key", "FILE", 0, AT(tls_files.key), .help = "PEM: its key" },
    { "--quiet", NULL, 0, AT(quiet), .help = "no progress" },
    { "--help", NULL, 0, AT(help), .help = "this text" },
};
enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

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
    flags_print(flags, FLAG_COUNT, command->flags, out);
    fputs("\nCtrl-C ends it. Exit status: 0 done, 1 failed, some of it or all, 2 wrong usage, 130 "
          "ended by\nCtrl-C (143 by SIGTERM) before it was done.\n",
          out);
}

static bool take_word(struct scu *scu, char **words, int left, int *taken, struct error *err)
{
    const char *word = words[0];
    if (!flags_take(flags, FLAG_COUNT, scu->command->flags, scu, words, left, taken, err))
        return false;
    if (*taken)
        return true;
    *taken = 1;
    if (word[0] == '-' && word[1])
        return error_set(err, ERROR_INVALID, "%s takes no %.60s (see hounsfield %s --help)",
                         scu->command->name, word, scu->command->name);
    scu->words[scu->word_count++] = words[0];
    return true;
}

static bool take_address(struct scu *scu, struct error *err)
{
    unsigned port = 0;
    if (scu->word_count < 2)
        return error_set(err, ERROR_INVALID, "usage: hounsfield %s %s", scu->command->name,
                         scu->command->arguments);
    if (!flags_read_count(scu->words[1], 1, 65535, &port))
        return error_set(err, ERROR_INVALID, "%.100s is no port, which is 1 to 65535",
                         scu->words[1]);
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
/* The signal. Lock-free, so that a handler may set it, and read by the threads of send. */
static atomic_int interrupted_by;

static void interrupt(int number)
{
    uint64_t one = 1;
    int before = errno;
    interrupted_by = number;
    ssize_t written = write(stop_fd, &one, sizeof(one));
    (void)written; /* fails only when it is raised already */
    errno = before;
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

void scu_pause(const struct scu *scu, unsigned ms)
{
    struct pollfd stop = { scu->options.stop_fd, POLLIN, 0 };
    poll(&stop, 1, (int)ms);
}

bool scu_open(struct scu *scu, const struct proposal *proposals, size_t count,
              struct association **out, struct error *err)
{
    unsigned pause_ms = FIRST_PAUSE_MS;
    for (int attempt = 1; !client_open(&scu->options, proposals, count, out, err); attempt++) {
        if (err->code != ERROR_BUSY || attempt == ATTEMPTS || scu_is_interrupted())
            return false;
        if (!scu->quiet)
            fprintf(stderr, "hounsfield: %s: %s; trying again\n", scu->command->name, err->message);
        scu_pause(scu, pause_ms);
        pause_ms *= 2;
    }
    return true;
}

/* PS3.8 table 9-21: which of the two titles it was. */
static void print_advice(const struct scu *scu, const struct error *err)
{
    if (strstr(err->message, "called AE title not recognized"))
        fprintf(stderr, "the peer's own AE title is not %s: give it with --called TITLE%s\n",
                scu->options.called_ae,
                " (of a Hounsfield server that is dimse.aeTitle of its settings)");
    else if (strstr(err->message, "calling AE title not recognized"))
        fprintf(stderr,
                "the peer does not know %s: have it entered there, or give a title that it knows "
                "with --aet TITLE\n",
                scu->options.calling_ae);
}

int scu_fail(struct scu *scu, const struct error *err)
{
    progress_end(&scu->progress);
    if (interrupted_by) {
        fprintf(stderr, "hounsfield: %s: interrupted\n", scu->command->name);
        return SCU_FAILED;
    }
    fprintf(stderr, "hounsfield: %s: %s\n", scu->command->name, err->message);
    print_advice(scu, err);
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
