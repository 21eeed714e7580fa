/* SPDX-License-Identifier: MIT */
#include "hl7/acknowledge.h"

#include <stdlib.h>
#include <time.h>

enum { MAX_REPEATED = 250 };

const char *hl7_answer_name(enum hl7_answer answer)
{
    static const char *const names[] = { "AA", "AE", "AR", "CA", "CE", "CR", "-" };
    return names[answer];
}

/* Table 0155. A value that is none of them is read as AL: better one answer too many. */
static bool is_wanted(struct slice condition, bool is_good)
{
    if (!condition.size || slice_equals_text(condition, "NE"))
        return false;
    if (slice_equals_text(condition, "ER"))
        return !is_good;
    return is_good || !slice_equals_text(condition, "SU");
}

struct hl7_answers hl7_answers_of(const struct hl7_header *header, const struct hl7_fault *fault)
{
    struct hl7_answers answers = { HL7_NO_ANSWER, HL7_NO_ANSWER };
    bool is_good = !fault;
    enum hl7_answer application = is_good              ? HL7_APPLICATION_ACCEPT
                                  : fault->is_rejected ? HL7_APPLICATION_REJECT
                                                       : HL7_APPLICATION_ERROR;
    if (!header->fields[15].size && !header->fields[16].size) {
        answers.application = application;
        return answers;
    }
    bool is_refused = !is_good && (fault->is_rejected || fault->is_transient);
    bool is_told = is_wanted(header->fields[16], is_good) && !is_refused;
    /* CA takes over the responsibility. An error that nobody would hear of in an application
     * acknowledgement is told here, and what was not kept is not accepted. */
    bool is_accepted = is_good || (!is_refused && is_told);
    if (is_wanted(header->fields[15], is_accepted))
        answers.accept = is_accepted          ? HL7_COMMIT_ACCEPT
                         : fault->is_rejected ? HL7_COMMIT_REJECT
                                              : HL7_COMMIT_ERROR;
    /* Where accept acknowledgements are not asked for, the application's is all there is. */
    if (is_told ||
        (is_refused && answers.accept == HL7_NO_ANSWER && is_wanted(header->fields[16], false)))
        answers.application = application;
    return answers;
}

static const char *describe(enum hl7_code code)
{
    static const struct {
        enum hl7_code code;
        const char *text;
    } texts[] = {
        { HL7_ACCEPTED, "Message accepted" },
        { HL7_SEQUENCE_ERROR, "Segment sequence error" },
        { HL7_FIELD_MISSING, "Required field missing" },
        { HL7_DATA_TYPE, "Data type error" },
        { HL7_VALUE_NOT_FOUND, "Table value not found" },
        { HL7_UNSUPPORTED_MESSAGE, "Unsupported message type" },
        { HL7_UNSUPPORTED_EVENT, "Unsupported event code" },
        { HL7_UNSUPPORTED_PROCESSING_ID, "Unsupported processing id" },
        { HL7_UNSUPPORTED_VERSION, "Unsupported version id" },
        { HL7_UNKNOWN_KEY, "Unknown key identifier" },
        { HL7_DUPLICATE_KEY, "Duplicate key identifier" },
        { HL7_RECORD_LOCKED, "Application record locked" },
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i].code == code)
            return texts[i].text;
    return "Application internal error";
}

/* A text of ours with what separates written as escapes. */
static void append_text(struct buffer *out, const struct hl7_separators *separators,
                        const char *text)
{
    const struct {
        uint8_t byte;
        char name;
    } escapes[] = { { separators->field, 'F' },
                    { separators->component, 'S' },
                    { separators->subcomponent, 'T' },
                    { separators->repetition, 'R' },
                    { separators->escape, 'E' } };
    for (; *text; text++) {
        uint8_t byte = (uint8_t)*text;
        size_t i = 0;
        while (i < 5 && escapes[i].byte != byte)
            i++;
        if (byte < ' ')
            buffer_append_byte(out, ' ');
        else if (i == 5)
            buffer_append_byte(out, byte);
        else if (separators->escape)
            buffer_append_format(out, "%c%c%c", separators->escape, escapes[i].name,
                                 separators->escape);
        else
            buffer_append_byte(out, '?');
    }
}

static void append_field(struct buffer *out, const struct hl7_header *header, unsigned number)
{
    buffer_append_byte(out, header->separators.field);
    buffer_append(out, slice_take(header->fields[number], MAX_REPEATED));
}

/* The trigger event: MSH-9.2. */
static struct slice trigger(const struct hl7_header *header)
{
    struct slice type = header->fields[9];
    size_t begin = 0;
    while (begin < type.size && type.data[begin] != header->separators.component)
        begin++;
    type = slice_skip(type, begin + 1);
    size_t size = 0;
    while (size < type.size && type.data[size] != header->separators.component)
        size++;
    return slice_take(type, size);
}

/* MSH-12 as it can be compared: "2.5.1" is 251, "2.4" is 240. */
static unsigned version_of(const struct hl7_header *header)
{
    unsigned version = 0;
    unsigned digits = 0;
    struct slice text = header->fields[12];
    for (size_t i = 0; i < text.size && text.data[i] != header->separators.component; i++)
        if (text.data[i] >= '0' && text.data[i] <= '9' && digits < 3) {
            version = version * 10 + (text.data[i] - '0');
            digits++;
        }
    while (digits++ < 3)
        version *= 10;
    return version;
}

static void append_header(struct buffer *out, const struct hl7_header *header,
                          const struct hl7_acknowledgement *what)
{
    const struct hl7_separators *separators = &header->separators;
    struct tm now;
    char stamp[32];
    time_t seconds = (time_t)(what->now_ms / 1000);
    localtime_r(&seconds, &now);
    strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S%z", &now);
    buffer_append_text(out, "MSH");
    append_field(out, header, 1);
    out->size--; /* MSH-1 is the separator itself */
    buffer_append(out, slice_take(header->fields[2], 5));
    append_field(out, header, 5);
    append_field(out, header, 6);
    append_field(out, header, 3);
    append_field(out, header, 4);
    buffer_append_format(out, "%c%s%c%cACK", separators->field, stamp, separators->field,
                         separators->field);
    struct slice event = slice_take(trigger(header), 3);
    if (event.size && version_of(header) >= 240)
        buffer_append_format(out, "%c%.*s%cACK", separators->component, (int)event.size,
                             (const char *)event.data, separators->component);
    else if (event.size)
        buffer_append_format(out, "%c%.*s", separators->component, (int)event.size,
                             (const char *)event.data);
    buffer_append_format(out, "%c%s", separators->field, what->control_id);
    append_field(out, header, 11);
    append_field(out, header, 12);
    if (header->fields[15].size || header->fields[16].size)
        buffer_append_format(out, "%c%c%cNE%cNE%c", separators->field, separators->field,
                             separators->field, separators->field, separators->field);
    else
        for (unsigned i = 0; header->fields[18].size && i < 5; i++)
            buffer_append_byte(out, separators->field);
    if (header->fields[18].size) {
        /* MSH-17, then MSH-18: our texts are ASCII, what we repeat is in the message's set. */
        append_field(out, header, 18);
    }
    buffer_append_byte(out, '\r');
}

/* ERR as of v2.5: location, code, severity, text. */
static void append_error(struct buffer *out, const struct hl7_header *header,
                         const struct hl7_fault *fault, bool is_note)
{
    const struct hl7_separators *separators = &header->separators;
    uint8_t field = separators->field;
    uint8_t component = separators->component;
    buffer_append_format(out, "ERR%c%c", field, field);
    if (fault->segment[0])
        buffer_append_format(out, "%s%c%u", fault->segment, component,
                             fault->sequence ? fault->sequence : 1);
    if (fault->segment[0] && fault->field)
        buffer_append_format(out, "%c%u", component, fault->field);
    if (fault->segment[0] && fault->field && fault->component)
        buffer_append_format(out, "%c1%c%u", component, component, fault->component);
    buffer_append_format(out, "%c%d%c%s%cHL70357%c%c", field, (int)fault->code, component,
                         describe(fault->code), component, field,
                         !is_note         ? 'E'
                         : fault->is_news ? 'I'
                                          : 'W');
    for (unsigned i = 0; i < 4; i++)
        buffer_append_byte(out, field); /* ERR-8: the text for people */
    append_text(out, separators, fault->text);
    buffer_append_byte(out, '\r');
}

/* ERR up to v2.4: ERR-1 is segment, sequence, field and the code with its text. */
static void append_old_error(struct buffer *out, const struct hl7_header *header,
                             const struct hl7_fault *fault)
{
    const struct hl7_separators *separators = &header->separators;
    uint8_t component = separators->component;
    uint8_t inner = separators->subcomponent ? separators->subcomponent : ' ';
    buffer_append_format(out, "ERR%c%s%c", separators->field, fault->segment, component);
    if (fault->segment[0])
        buffer_append_format(out, "%u", fault->sequence ? fault->sequence : 1);
    buffer_append_byte(out, component);
    if (fault->segment[0] && fault->field)
        buffer_append_format(out, "%u", fault->field);
    buffer_append_format(out, "%c%d%c%s%cHL70357\r", component, (int)fault->code, inner,
                         describe(fault->code), inner);
}

void hl7_acknowledge(const struct hl7_header *header, const struct hl7_acknowledgement *what,
                     struct buffer *out)
{
    const struct hl7_separators *separators = &header->separators;
    bool is_good = what->answer == HL7_APPLICATION_ACCEPT || what->answer == HL7_COMMIT_ACCEPT;
    bool is_old = version_of(header) < 250 && header->fields[12].size;
    append_header(out, header, what);
    buffer_append_format(out, "MSA%c%s", separators->field, hl7_answer_name(what->answer));
    append_field(out, header, 10);
    if (!is_good && what->fault_count) {
        buffer_append_byte(out, separators->field);
        append_text(out, separators, what->faults[0].text);
    }
    buffer_append_byte(out, '\r');
    for (size_t i = 0; i < what->fault_count; i++) {
        if (!is_old)
            append_error(out, header, &what->faults[i], is_good);
        else if (!is_good)
            append_old_error(out, header, &what->faults[i]);
    }
}
