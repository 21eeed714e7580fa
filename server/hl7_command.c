/* SPDX-License-Identifier: MIT */
#include "server/hl7_command.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "dicom/json.h"
#include "dicom/uid.h"
#include "hl7/mllp.h"
#include "hl7/plan.h"
#include "hl7/receive.h"
#include "server/command.h"
#include "server/flags.h"
#include "server/settings_parts.h"

enum { FILE_LIMIT = 128 << 20, DATASET_LIMIT = 2 * DRAFT_LIMIT };

struct explanation {
    const char *config;
    const char *file;
    bool json;
    bool help;
    struct settings *settings;
    struct hl7_configuration *configuration;
    cJSON *list;  /* of --json */
    bool refused; /* one of them would be */
};

#define AT(field) .offset = offsetof(struct explanation, field)

static const struct flag flags[] = {
    { "--config", "FILE", 0, AT(config), .help = "the server's settings file, for its mapping" },
    { "--json", NULL, 0, AT(json), .help = "the result as one JSON document" },
    { "--help", NULL, 0, AT(help), .help = "this text" },
};
enum { FLAG_COUNT = sizeof(flags) / sizeof(flags[0]) };

void hl7_command_print_list(FILE *out)
{
    fputs("       hounsfield hl7 explain FILE        show what HL7 messages would become\n"
          "       hounsfield hl7 mapping             print which field becomes which attribute\n",
          out);
}

void hl7_command_print_help(FILE *out)
{
    fputs(
        "hounsfield hl7 explain - show what HL7 messages would become\n\n"
        "Usage: hounsfield hl7 explain FILE [FLAG]...\n"
        "       hounsfield hl7 mapping\n\n"
        "FILE has one message, or several in the frames of MLLP; - is the standard input. Nothing\n"
        "is stored, and no server is needed: what only worklist or archive know, such as whether "
        "an\n"
        "order is there, is not looked at.\n\nFlags:\n",
        out);
    flags_print(flags, FLAG_COUNT, 0, out);
    fputs("\nExit status: 0 all would be accepted, 1 failed, 2 wrong usage, 3 one would be "
          "refused.\n",
          out);
}

/* Words for what is done. */

static const char *control_name(enum hl7_control control)
{
    static const char *const names[] = { "new", "change", "status", "cancel", "discontinue" };
    return names[control];
}

static const char *status_name(enum hl7_status status)
{
    static const char *const names[] = { "SCHEDULED", "STARTED", "COMPLETED" };
    return names[status];
}

static const char *action_name(enum hl7_action_kind kind)
{
    static const char *const names[] = { "order", "patient", "merge", "unmerge", "report" };
    return names[kind];
}

static const char *answer_of(const struct hl7_rehearsal *rehearsal, char code[3])
{
    struct hl7_header header;
    struct slice text = buffer_slice(&rehearsal->answers);
    code[0] = 0;
    if (!text.size || !hl7_header_read(text, &header))
        return "";
    const uint8_t *end = memchr(text.data, '\r', text.size);
    struct slice acknowledgement = slice_skip(text, (size_t)(end - text.data) + 5);
    memcpy(code, slice_take(acknowledgement, 2).data, 2);
    code[2] = 0;
    return code;
}

/* Text. */

static void print_value(const struct draft *draft, const struct draft_value *value)
{
    const struct draft_place *place = &value->place;
    uint32_t tag = place->tags[place->depth - 1];
    const struct dictionary_entry *entry = dictionary_find(tag);
    struct slice text = draft_get(draft, *place);
    printf("    ");
    for (unsigned i = 0; i + 1 < place->depth; i++)
        printf("(%04X,%04X)[%u] ", (unsigned)(place->tags[i] >> 16),
               (unsigned)(place->tags[i] & 0xFFFF), place->items[i] + 1u);
    printf("(%04X,%04X) %s = %.*s\n", (unsigned)(tag >> 16), (unsigned)(tag & 0xFFFF),
           entry ? entry->keyword : "?", (int)text.size, (const char *)text.data);
}

static void print_draft(const char *title, const struct draft *draft)
{
    if (!draft->count)
        return;
    printf("  %s\n", title);
    for (size_t i = 0; i < draft->count; i++)
        print_value(draft, &draft->values[i]);
}

static void print_person(const char *title, const struct hl7_person *person)
{
    printf("  %s: %s%s%s\n", title, person->id, person->issuer[0] ? " of " : "", person->issuer);
}

static void print_action(const struct hl7_action *action)
{
    printf("%s", action_name(action->kind));
    if (action->kind == HL7_DO_ORDER)
        printf(" %s", control_name(action->control));
    if (action->kind == HL7_DO_ORDER && action->control == HL7_STATUS)
        printf(" %s", status_name(action->status));
    puts("");
    print_person("patient", &action->person);
    if (action->kind == HL7_DO_MERGE || action->kind == HL7_DO_UNMERGE)
        print_person(action->kind == HL7_DO_MERGE ? "goes" : "and", &action->gone);
    if (action->placer[0])
        printf("  placer order number: %s\n", action->placer);
    if (action->filler[0])
        printf("  filler order number: %s\n", action->filler);
    print_draft("attributes", &action->patient);
    for (size_t i = 0; i < action->step_count; i++)
        print_draft(action->kind == HL7_DO_REPORT ? "instance" : "step", &action->steps[i]);
    if (action->document.size)
        printf("  document: %zu bytes in base64\n", action->document.size);
}

static void print_lines(struct slice text)
{
    for (size_t i = 0; i < text.size; i++)
        putchar(text.data[i] == '\r' ? '\n' : text.data[i]);
}

static void print_text(const struct hl7_rehearsal *rehearsal)
{
    char code[3];
    const struct hl7_type *type = rehearsal->type;
    if (type)
        printf("%s^%s: %s\n", hl7_type_code(type), hl7_type_event(type), hl7_type_effect(type));
    for (size_t i = 0; rehearsal->plan && i < rehearsal->plan->count; i++)
        print_action(&rehearsal->plan->actions[i]);
    for (size_t i = 0; rehearsal->plan && i < rehearsal->plan->notes.count; i++)
        printf("note: %s\n", rehearsal->plan->notes.items[i].text);
    if (!rehearsal->plan)
        printf("refused: %d %s\n", (int)rehearsal->fault.code, rehearsal->fault.text);
    const char *answer = answer_of(rehearsal, code);
    printf("answer %s\n", *answer ? answer : "none");
    print_lines(buffer_slice(&rehearsal->answers));
}

/* JSON. */

/* A data set in the DICOM JSON Model (PS3.18 F). */
static cJSON *draft_json(const struct draft *draft)
{
    struct buffer bytes = buffer_up_to(DATASET_LIMIT);
    struct buffer text = buffer_up_to(DATASET_LIMIT * 2);
    struct dataset *dataset = NULL;
    cJSON *json = NULL;
    if (draft_encode(draft, &bytes) &&
        dataset_open(buffer_slice(&bytes),
                     transfer_syntax_find(slice_text(UID_EXPLICIT_LITTLE_ENDIAN)), NULL, 0,
                     &dataset, NULL)) {
        json_write_dataset(dataset, &(struct json_options){ .tags = NULL }, &text);
        json = cJSON_ParseWithLength((const char *)text.data, text.size);
    }
    dataset_close(dataset);
    buffer_release(&bytes);
    buffer_release(&text);
    return json ? json : cJSON_CreateObject();
}

static void add_person(cJSON *object, const char *key, const struct hl7_person *person)
{
    cJSON *json = cJSON_AddObjectToObject(object, key);
    cJSON_AddStringToObject(json, "id", person->id);
    cJSON_AddStringToObject(json, "issuer", person->issuer);
}

static cJSON *action_json(const struct hl7_action *action)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "action", action_name(action->kind));
    add_person(json, "patient", &action->person);
    if (action->kind == HL7_DO_MERGE || action->kind == HL7_DO_UNMERGE)
        add_person(json, "other", &action->gone);
    if (action->kind == HL7_DO_ORDER)
        cJSON_AddStringToObject(json, "control", control_name(action->control));
    if (action->kind == HL7_DO_ORDER && action->control == HL7_STATUS)
        cJSON_AddStringToObject(json, "status", status_name(action->status));
    if (action->placer[0])
        cJSON_AddStringToObject(json, "placer", action->placer);
    if (action->filler[0])
        cJSON_AddStringToObject(json, "filler", action->filler);
    if (action->patient.count)
        cJSON_AddItemToObject(json, "attributes", draft_json(&action->patient));
    cJSON *sets = action->step_count
                      ? cJSON_AddArrayToObject(json, action->kind == HL7_DO_REPORT ? "instances"
                                                                                   : "steps")
                      : NULL;
    for (size_t i = 0; i < action->step_count; i++)
        cJSON_AddItemToArray(sets, draft_json(&action->steps[i]));
    return json;
}

static void add_fault(cJSON *list, const struct hl7_fault *fault)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "code", fault->code);
    if (fault->segment[0]) {
        cJSON_AddStringToObject(json, "segment", fault->segment);
        cJSON_AddNumberToObject(json, "sequence", fault->sequence);
    }
    if (fault->field)
        cJSON_AddNumberToObject(json, "field", fault->field);
    cJSON_AddStringToObject(json, "text", fault->text);
    cJSON_AddItemToArray(list, json);
}

static cJSON *rehearsal_json(const struct hl7_rehearsal *rehearsal)
{
    cJSON *json = cJSON_CreateObject();
    char code[3];
    char at[CLOCK_TEXT_SIZE];
    cJSON_AddStringToObject(json, "answer", answer_of(rehearsal, code));
    struct buffer answers = buffer_up_to(4 * HL7_ANSWER_LIMIT);
    buffer_append(&answers, buffer_slice(&rehearsal->answers));
    cJSON_AddStringToObject(json, "acknowledgement", buffer_text(&answers));
    buffer_release(&answers);
    if (rehearsal->type)
        cJSON_AddStringToObject(json, "effect", hl7_type_effect(rehearsal->type));
    cJSON *faults = cJSON_AddArrayToObject(json, rehearsal->plan ? "notes" : "errors");
    if (!rehearsal->plan) {
        add_fault(faults, &rehearsal->fault);
        return json;
    }
    for (size_t i = 0; i < rehearsal->plan->notes.count; i++)
        add_fault(faults, &rehearsal->plan->notes.items[i]);
    clock_format_utc(rehearsal->plan->message_us / 1000, at);
    cJSON_AddStringToObject(json, "time", at);
    cJSON *actions = cJSON_AddArrayToObject(json, "actions");
    for (size_t i = 0; i < rehearsal->plan->count; i++)
        cJSON_AddItemToArray(actions, action_json(&rehearsal->plan->actions[i]));
    return json;
}

/* Files. */

static void explain(struct explanation *explanation, struct slice message)
{
    struct hl7_rehearsal rehearsal;
    if (!hl7_rehearse(explanation->configuration, message, &rehearsal))
        explanation->refused = true;
    if (explanation->json)
        cJSON_AddItemToArray(explanation->list, rehearsal_json(&rehearsal));
    else
        print_text(&rehearsal);
    hl7_rehearsal_release(&rehearsal);
}

/* In frames, or one message as it is. */
static void explain_all(struct explanation *explanation, struct slice bytes)
{
    struct mllp mllp;
    if (!memchr(bytes.data, MLLP_START, bytes.size)) {
        explain(explanation, bytes);
        return;
    }
    mllp_init(&mllp, explanation->configuration->options.message_limit);
    while (bytes.size) {
        size_t used;
        enum mllp_event event = mllp_feed(&mllp, bytes, &used);
        bytes = slice_skip(bytes, used);
        if (event != MLLP_NOTHING)
            explain(explanation, buffer_slice(&mllp.content));
    }
    mllp_release(&mllp);
}

static bool read_file(const char *path, struct buffer *bytes, struct error *err)
{
    bool is_input = !strcmp(path, "-");
    FILE *file = is_input ? stdin : fopen(path, "rb");
    char piece[65536];
    size_t size;
    if (!file)
        return error_set_errno(err, errno, "cannot open %.150s", path);
    while ((size = fread(piece, 1, sizeof(piece), file)) > 0)
        if (!buffer_append(bytes, slice_of(piece, size)))
            break;
    bool ok = !ferror(file) || error_set_errno(err, errno, "cannot read %.150s", path);
    if (!is_input)
        fclose(file);
    return ok && buffer_check(bytes, "the file", err) &&
           (bytes->size || error_set(err, ERROR_INVALID, "%.150s is empty", path));
}

static bool load(struct explanation *explanation, struct error *err)
{
    char *words[] = { (char *)(uintptr_t) "--config", (char *)(uintptr_t)explanation->config };
    if (!settings_load(explanation->config ? 2 : 0, words, &explanation->settings, err))
        return false;
    struct hl7_options options = settings_hl7_options(explanation->settings);
    options.tls_port = 0; /* certificates are of no matter here */
    return hl7_configuration_new(&options, &explanation->configuration, err);
}

static int run_explain(struct explanation *explanation)
{
    struct buffer bytes = buffer_up_to(FILE_LIMIT);
    struct error err = { .code = ERROR_NONE };
    int status = COMMAND_OK;
    if (!load(explanation, &err)) {
        status = COMMAND_USAGE;
    } else if (!read_file(explanation->file, &bytes, &err)) {
        status = COMMAND_FAILED;
    } else {
        explanation->list = cJSON_CreateArray();
        explain_all(explanation, buffer_slice(&bytes));
        char *text = explanation->json ? cJSON_Print(explanation->list) : NULL;
        if (text)
            puts(text);
        free(text);
        cJSON_Delete(explanation->list);
        status = explanation->refused ? COMMAND_FOUND : COMMAND_OK;
    }
    if (err.code)
        fprintf(stderr, "hounsfield: hl7 explain: %s\n", err.message);
    if (fflush(stdout) != 0)
        status = COMMAND_FAILED;
    hl7_configuration_release(explanation->configuration);
    settings_free(explanation->settings);
    buffer_release(&bytes);
    return status;
}

static int print_mapping(void)
{
    struct buffer text = buffer_up_to(1 << 20);
    hl7_mapping_describe(&text);
    fwrite(text.data, 1, text.size, stdout);
    buffer_release(&text);
    return fflush(stdout) ? COMMAND_FAILED : COMMAND_OK;
}

int hl7_command_run(int count, char **words)
{
    struct explanation explanation = { .config = NULL };
    struct error err = { .code = ERROR_NONE };
    if (count == 1 && !strcmp(words[0], "mapping"))
        return print_mapping();
    bool ok = count > 0 && !strcmp(words[0], "explain");
    if (!ok)
        error_set(&err, ERROR_INVALID, "say what behind it: explain FILE, mapping");
    for (int i = 1, taken = 1; ok && i < count; i += taken) {
        ok = flags_take(flags, FLAG_COUNT, 0, &explanation, words + i, count - i, &taken, &err);
        if (!ok || taken)
            continue;
        taken = 1;
        if (explanation.file || (words[i][0] == '-' && words[i][1]))
            ok = error_set(&err, ERROR_INVALID, "it takes no %.60s", words[i]);
        explanation.file = words[i];
    }
    if (ok && explanation.help) {
        hl7_command_print_help(stdout);
        return COMMAND_OK;
    }
    if (ok && !explanation.file)
        ok = error_set(&err, ERROR_INVALID, "explain needs a file: hounsfield hl7 explain FILE");
    if (!ok) {
        fprintf(stderr, "hounsfield: hl7: %s (see hounsfield hl7 explain --help)\n", err.message);
        return COMMAND_USAGE;
    }
    return run_explain(&explanation);
}
