/* SPDX-License-Identifier: MIT */
#include "hl7/receive.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/audit.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "hl7/mllp.h"
#include "hl7/perform.h"

enum { CONTROL_ID_SIZE = 21 /* 20 characters, as v2.5.1 has it */ };

/* One that no other message of ours has: the time of the first one, and a count. */
static void make_control_id(char text[CONTROL_ID_SIZE])
{
    static atomic_uint_least64_t last;
    uint64_t none = 0;
    atomic_compare_exchange_strong(&last, &none, (uint64_t)clock_unix_us());
    snprintf(text, CONTROL_ID_SIZE, "H%llX", (unsigned long long)atomic_fetch_add(&last, 1));
}

/* Checks. */

static bool check_version(struct slice version)
{
    static const char *const known[] = { "2.1", "2.2", "2.3",   "2.3.1", "2.4",   "2.5",   "2.5.1",
                                         "2.6", "2.7", "2.7.1", "2.8",   "2.8.1", "2.8.2", "2.9" };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (slice_equals_text(version, known[i]))
            return true;
    return false;
}

static bool check_processing_id(const struct hl7_configuration *configuration, struct slice id)
{
    const char *taken = configuration->options.processing_ids;
    return id.size == 1 && strchr(taken ? taken : "PTD", id.data[0]);
}

bool hl7_check_header(const struct hl7_configuration *configuration,
                      const struct hl7_message *message, struct hl7_fault *fault)
{
    static const unsigned required[] = { 9, 10, 11, 12 };
    static const char *const names[] = { "message type", "message control ID", "processing ID",
                                         "version" };
    const struct hl7_segment *msh = &message->segments[0];
    for (size_t i = 0; i < 4; i++)
        if (!hl7_value(message, msh, required[i], 1).size)
            return hl7_fault_set(fault, HL7_FIELD_MISSING, "MSH", 1, required[i],
                                 "MSH-%u: the %s is missing", required[i], names[i]);
    if (hl7_value(message, msh, 10, 0).size > HL7_MAX_CONTROL_ID)
        return hl7_fault_set(fault, HL7_DATA_TYPE, "MSH", 1, 10, "MSH-10: longer than %d bytes",
                             HL7_MAX_CONTROL_ID);
    if (!check_version(hl7_value(message, msh, 12, 1)))
        return hl7_fault_set(fault, HL7_UNSUPPORTED_VERSION, "MSH", 1, 12,
                             "MSH-12: versions 2.1 to 2.9 are understood here");
    if (!check_processing_id(configuration, hl7_value(message, msh, 11, 1)))
        return hl7_fault_set(fault, HL7_UNSUPPORTED_PROCESSING_ID, "MSH", 1, 11,
                             "MSH-11: messages of this processing ID are not taken here");
    return true;
}

static bool find_type(const struct hl7_message *message, const struct hl7_type **type,
                      struct hl7_fault *fault)
{
    const struct hl7_segment *msh = &message->segments[0];
    struct slice code = hl7_value(message, msh, 9, 1);
    *type = hl7_type_find(code, hl7_value(message, msh, 9, 2));
    if (*type)
        return true;
    if (hl7_type_is_known(code))
        return hl7_fault_set(fault, HL7_UNSUPPORTED_EVENT, "MSH", 1, 9,
                             "MSH-9: this event is not taken here");
    return hl7_fault_set(fault, HL7_UNSUPPORTED_MESSAGE, "MSH", 1, 9,
                         "MSH-9: this type of message is not taken here");
}

static bool check_sender(const struct hl7_configuration *configuration,
                         const struct hl7_delivery *delivery, const struct hl7_message *message,
                         struct hl7_fault *fault)
{
    const struct hl7_segment *msh = &message->segments[0];
    if (hl7_admits_sender(configuration, delivery->address, delivery->tls,
                          hl7_value(message, msh, 3, 1), hl7_value(message, msh, 4, 1)))
        return true;
    audit_note(AUDIT_SECURITY_ALERT, AUDIT_NODE_AUTHENTICATION, AUDIT_MINOR_FAILURE,
               &(struct audit_peer){ .address = delivery->peer },
               "the sending application or facility is not one that may send from there");
    hl7_fault_set(fault, HL7_INTERNAL_ERROR, "MSH", 1, 3,
                  "MSH-3, MSH-4: this application may not send");
    fault->is_rejected = true;
    return false;
}

/* Work. */

static bool carry_out(const struct hl7_receiver *receiver,
                      const struct hl7_configuration *configuration,
                      const struct hl7_delivery *delivery, const struct hl7_message *message,
                      struct hl7_performance *performance, struct hl7_fault *fault)
{
    const struct hl7_type *type;
    struct hl7_plan *plan = NULL;
    bool ok = hl7_check_header(configuration, message, fault) &&
              check_sender(configuration, delivery, message, fault) &&
              find_type(message, &type, fault) &&
              hl7_plan_make(configuration, type, message, clock_unix_us(), &plan, fault);
    if (ok) {
        *performance->notes = plan->notes;
        ok = hl7_perform(receiver->archive, receiver->worklist, plan, message, performance, fault);
    }
    hl7_plan_free(plan);
    return ok;
}

static void append_answer(const struct hl7_header *header, enum hl7_answer answer,
                          const struct hl7_fault *faults, size_t count, bool is_framed,
                          struct buffer *out)
{
    char control_id[CONTROL_ID_SIZE];
    struct buffer text = buffer_up_to(HL7_ANSWER_LIMIT);
    if (answer == HL7_NO_ANSWER)
        return;
    make_control_id(control_id);
    const struct hl7_acknowledgement what = { answer, faults, count, control_id, clock_unix_ms() };
    hl7_acknowledge(header, &what, &text);
    if (is_framed)
        mllp_append_block(out, buffer_slice(&text));
    else
        buffer_append(out, buffer_slice(&text));
    buffer_release(&text);
}

/* In the order in which they are sent. `fault` NULL: all is well. Returns the one that says most.
 */
static enum hl7_answer append_answers(const struct hl7_header *header,
                                      const struct hl7_fault *fault, const struct hl7_notes *notes,
                                      bool is_framed, struct buffer *out)
{
    struct hl7_answers answers = hl7_answers_of(header, fault);
    const struct hl7_fault *faults = fault ? fault : notes->items;
    size_t count = fault ? 1 : notes->count;
    append_answer(header, answers.accept, faults, fault ? 1 : 0, is_framed, out);
    append_answer(header, answers.application, faults, count, is_framed, out);
    return answers.application != HL7_NO_ANSWER ? answers.application : answers.accept;
}

/* For logs: no more of it than a type has. */
static void describe(const struct hl7_header *header, char type[24])
{
    struct slice text = slice_take(header->fields[9], 23);
    snprintf(type, 24, "%.*s", (int)text.size, (const char *)text.data);
}

/* Who told it may wonder that nothing came of it. */
static void note_no_change(const struct hl7_delivery *delivery, const char *type,
                           struct slice control_id, const struct hl7_performance *performance)
{
    const size_t *effects = performance->effects;
    bool is_stale = effects[HL7_STALE] > 0;
    if (!is_stale && (effects[HL7_CHANGED] || !effects[HL7_REPEATED]))
        return;
    log_info("hl7: %s message peer=%s type=\"%s\" control_id=\"%.*s\" changed=%zu repeated=%zu "
             "stale=%zu",
             is_stale ? "late" : "repeated", delivery->peer, type, (int)control_id.size,
             (const char *)control_id.data, effects[HL7_CHANGED], effects[HL7_REPEATED],
             effects[HL7_STALE]);
    metric_add(is_stale ? METRIC_HL7_STALE : METRIC_HL7_REPEATED, 1);
}

static void note_acceptance(const struct hl7_header *header, const struct hl7_delivery *delivery,
                            const struct hl7_performance *performance)
{
    char type[24];
    struct slice control_id = slice_take(header->fields[10], 64);
    describe(header, type);
    log_debug("hl7: message accepted peer=%s type=\"%s\" control_id=\"%.*s\" bytes=%zu notes=%zu",
              delivery->peer, type, (int)control_id.size, (const char *)control_id.data,
              delivery->bytes.size, performance->notes->count);
    note_no_change(delivery, type, control_id, performance);
    metric_add(METRIC_HL7_ACCEPTED, 1);
}

static void note_refusal(const struct hl7_header *header, const struct hl7_delivery *delivery,
                         enum hl7_answer answer, const struct hl7_fault *fault)
{
    char type[24];
    struct slice control_id = slice_take(header->fields[10], 64);
    describe(header, type);
    log_warn("hl7: message refused peer=%s type=\"%s\" control_id=\"%.*s\" answer=%s code=%d "
             "segment=%s field=%u why=\"%s\"",
             delivery->peer, type, (int)control_id.size, (const char *)control_id.data,
             hl7_answer_name(answer), (int)fault->code, fault->segment, fault->field, fault->text);
    metric_add(fault->is_rejected ? METRIC_HL7_REJECTED : METRIC_HL7_FAILED, 1);
}

/* What is answered. False when nothing can be: there is no control ID. */
static bool read_header(struct slice bytes, struct hl7_header *header)
{
    bool ok = hl7_is_batch(bytes) ? hl7_batch_header_read(bytes, header)
                                  : hl7_header_read(bytes, header);
    return ok && header->fields[10].size;
}

static bool parse(const struct hl7_configuration *configuration, struct slice bytes,
                  struct hl7_message *message, struct hl7_fault *fault)
{
    if (hl7_is_batch(bytes))
        return hl7_fault_set(
            fault, HL7_UNSUPPORTED_MESSAGE, "BHS", 1, 0,
            "batches are not taken here: each message comes in a block of its own");
    return hl7_message_parse(bytes, configuration->options.character_set, message, fault);
}

/* An acknowledgement is not acknowledged, or two of us would never end. */
static bool is_acknowledgement(const struct hl7_header *header)
{
    struct slice type = header->fields[9];
    return slice_starts_with(type, slice_text("ACK")) &&
           (type.size == 3 || type.data[3] == header->separators.component);
}

enum hl7_received hl7_receive(struct hl7_receiver *receiver,
                              const struct hl7_configuration *configuration,
                              const struct hl7_delivery *delivery, struct buffer *out)
{
    struct hl7_header header;
    struct hl7_message message = { .count = 0 };
    struct hl7_notes notes = { .count = 0 };
    struct hl7_performance performance = { .notes = &notes };
    struct hl7_fault fault = { .code = HL7_ACCEPTED };
    if (!read_header(delivery->bytes, &header)) {
        log_warn(
            "hl7: unreadable message peer=%s bytes=%zu why=\"no MSH with a control ID (MSH-10)\"",
            delivery->peer, delivery->bytes.size);
        metric_add(METRIC_HL7_REJECTED, 1);
        return HL7_UNREADABLE;
    }
    if (is_acknowledgement(&header))
        return HL7_IGNORED;
    bool ok = false;
    if (delivery->damage)
        hl7_fault_set(&fault, HL7_INTERNAL_ERROR, NULL, 0, 0, "%s", delivery->damage);
    else
        ok = parse(configuration, delivery->bytes, &message, &fault);
    if (!ok) /* nothing in it can be relied on */
        fault.is_rejected = true;
    ok = ok && carry_out(receiver, configuration, delivery, &message, &performance, &fault);
    enum hl7_answer answer = append_answers(&header, ok ? NULL : &fault, &notes, true, out);
    if (ok)
        note_acceptance(&header, delivery, &performance);
    else
        note_refusal(&header, delivery, answer, &fault);
    hl7_message_release(&message);
    return ok ? HL7_RECEIVED : HL7_REFUSED;
}

bool hl7_rehearse(const struct hl7_configuration *configuration, struct slice bytes,
                  struct hl7_rehearsal *rehearsal)
{
    static const struct hl7_notes none = { .count = 0 };
    struct hl7_header header;
    memset(rehearsal, 0, sizeof(*rehearsal));
    rehearsal->answers = buffer_up_to(2 * HL7_ANSWER_LIMIT);
    struct hl7_fault *fault = &rehearsal->fault;
    bool ok = parse(configuration, bytes, &rehearsal->message, fault);
    if (!ok)
        fault->is_rejected = true;
    ok = ok && hl7_check_header(configuration, &rehearsal->message, fault) &&
         find_type(&rehearsal->message, &rehearsal->type, fault) &&
         hl7_plan_make(configuration, rehearsal->type, &rehearsal->message, clock_unix_us(),
                       &rehearsal->plan, fault);
    if (read_header(bytes, &header))
        append_answers(&header, ok ? NULL : fault, ok ? &rehearsal->plan->notes : &none, false,
                       &rehearsal->answers);
    return ok;
}

void hl7_rehearsal_release(struct hl7_rehearsal *rehearsal)
{
    hl7_plan_free(rehearsal->plan);
    hl7_message_release(&rehearsal->message);
    buffer_release(&rehearsal->answers);
}
