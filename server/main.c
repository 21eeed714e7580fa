/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "server/command.h"
#include "server/hl7_command.h"
#include "server/operation.h"
#include "server/scu.h"
#include "server/serve.h"
#include "server/settings.h"

static void print_help(void)
{
    puts("hounsfield " HOUNSFIELD_VERSION " - a DICOM imaging server with a DICOM-to-FHIR cast\n"
         "\n"
         "Usage: hounsfield serve [FLAG VALUE]...   run the server\n"
         "       hounsfield settings                print the commented settings file");
    command_print_list(stdout);
    scu_print_list(stdout);
    hl7_command_print_list(stdout);
    puts("       hounsfield COMMAND --help          what a command takes\n"
         "       hounsfield --help | --version\n"
         "\n"
         "Flags of serve (what they say counts, whatever the settings file says):\n"
         "  --config FILE              read this settings file (JSON with comments)");
    settings_print_flags(stdout);
    puts(
        "\n"
        "Without any flag the server listens on this machine alone: DICOM on 11112 as HOUNSFIELD,\n"
        "DICOMweb at http://127.0.0.1:8080/dicomweb, the FHIR view at http://127.0.0.1:8080/fhir,\n"
        "images in ./var.\n"
        "\n"
        "  dcmsend -aec HOUNSFIELD 127.0.0.1 11112 image.dcm      send a first image\n"
        "  curl http://127.0.0.1:8080/dicomweb/studies            find it\n"
        "\n"
        "SIGHUP reads the DICOM and HL7 settings again, the peers above all. SIGTERM or Ctrl-C "
        "stops the\n"
        "server in order. Exit status: 0 stopped, 1 failed, 2 wrong usage or settings.");
}

static void set_log_level(const char *name)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    for (int i = 0; i < 4; i++)
        if (!strcmp(name, names[i]))
            log_set_level((enum log_level)i);
}

static int run_serve(int flag_count, char **flags)
{
    struct settings *settings;
    struct error err;
    if (!settings_load(flag_count, flags, &settings, &err)) {
        fprintf(stderr, "hounsfield: %s\n", err.message);
        return 2;
    }
    set_log_level(settings->log);
    bool ok = serve(settings, flag_count, flags, &err);
    if (!ok)
        fprintf(stderr, "hounsfield: %s\n", err.message);
    settings_free(settings);
    /* What is found wrong with the settings on the way up is as wrong as what is found at once. */
    return ok ? 0 : err.code == ERROR_INVALID ? 2 : 1;
}

static int misuse(const char *what, const char *word)
{
    fprintf(stderr, "hounsfield: %s%s (see hounsfield --help)\n", what, word);
    return 2;
}

/* A word that needs another one behind it: says which there are. */
static bool ask_for_second(const char *word)
{
    size_t size = strlen(word);
    bool any = false;
    for (size_t i = 0; i < operation_count && size; i++) {
        const char *name = operations[i].name;
        if (strncmp(name, word, size) != 0 || name[size] != '-')
            continue;
        fprintf(stderr, any ? ", %s" : "hounsfield: say what behind it: %s",
                operation_words(&operations[i]));
        any = true;
    }
    if (any)
        fputs(" (see hounsfield --help)\n", stderr);
    return any;
}

static int help_with(int count, char **words)
{
    const char *command = count > 0 ? words[0] : "";
    int taken;
    if (operation_find_words(count, words, &taken))
        command_print_help(operation_find_words(count, words, &taken), stdout);
    else if (scu_find(command))
        scu_print_help(scu_find(command), stdout);
    else if (!strcmp(command, "hl7"))
        hl7_command_print_help(stdout);
    else if (!*command || !strcmp(command, "serve") || !strcmp(command, "settings"))
        print_help();
    else
        return misuse("unknown command ", command);
    return 0;
}

int main(int count, char **arguments)
{
    const char *command = count > 1 ? arguments[1] : "";
    int taken;
    const struct operation *operation = operation_find_words(count - 1, arguments + 1, &taken);
    if (operation)
        return command_run(operation, count - 1 - taken, arguments + 1 + taken);
    if (scu_find(command))
        return scu_run(scu_find(command), count - 2, arguments + 2);
    if (!strcmp(command, "hl7"))
        return hl7_command_run(count - 2, arguments + 2);
    for (int i = 1; i < count; i++) {
        if (!strcmp(arguments[i], "--help") || !strcmp(arguments[i], "-h")) {
            print_help();
            return 0;
        }
    }
    if (!strcmp(command, "help"))
        return help_with(count - 2, arguments + 2);
    if (!strcmp(command, "--version") || !strcmp(command, "version")) {
        puts("hounsfield " HOUNSFIELD_VERSION);
        return 0;
    }
    if (!strcmp(command, "settings")) {
        fputs(settings_default_file(), stdout);
        return 0;
    }
    if (!strcmp(command, "serve"))
        return run_serve(count - 2, arguments + 2);
    if (ask_for_second(command))
        return 2;
    return *command ? misuse("unknown command ", command) : misuse("no command given", "");
}
