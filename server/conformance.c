/* SPDX-License-Identifier: MIT */
#include "server/conformance.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "archive/attributes.h"
#include "base/memory.h"
#include "dicom/codec.h"
#include "dicom/codec_encode.h"
#include "dicom/tag.h"
#include "dimse/negotiate.h"
#include "dimse/status.h"
#include "hl7/mapping.h"
#include "hl7/plan.h"

enum { DOCUMENT_LIMIT = 4 << 20, TABLES_MAX = 32 };

struct conformance {
    pthread_mutex_t lock;
    struct buffer text; /* guarded by lock */
    struct route_table tables[TABLES_MAX];
    size_t count;
};

/* --- DIMSE --- */

static bool is_refused(const struct settings *settings, const char *uid)
{
    for (size_t i = 0; i < settings->refused_sop_classes.count; i++)
        if (!strcmp(settings->refused_sop_classes.items[i], uid))
            return true;
    return false;
}

static bool has_name(const struct sop_class *sop_class)
{
    return sop_class->name && *sop_class->name;
}

/* What a requestor of an association would be answered. */
static enum service service_of(const struct settings *settings, const struct sop_class *sop_class)
{
    return is_refused(settings, sop_class->uid)
               ? SERVICE_NONE
               : negotiate_service(sop_class->uid, settings->refuse_unknown_sop_classes);
}

static void write_classes(const struct settings *settings, bool storage, struct buffer *text)
{
    size_t count;
    const struct sop_class *all = sop_class_all(&count);
    buffer_append_text(text, "| SOP class | UID | SCU | SCP |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < count; i++) {
        enum service service = service_of(settings, &all[i]);
        if (service == SERVICE_NONE || storage != (service == SERVICE_STORAGE))
            continue;
        buffer_append_format(text, "| %s | %s | %s | yes |\n",
                             has_name(&all[i]) ? all[i].name : "-", all[i].uid,
                             storage ? "yes" : "no");
    }
}

static void write_syntaxes(struct buffer *text)
{
    size_t count;
    const struct transfer_syntax *all = transfer_syntax_all(&count);
    buffer_append_text(text, "| transfer syntax | UID | pixels are decoded | encoded |\n"
                             "| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < count; i++)
        buffer_append_format(text, "| %s | %s | %s | %s |\n", all[i].name, all[i].uid,
                             !all[i].encapsulated || codec_can_decode(&all[i]) ? "yes" : "no",
                             !all[i].encapsulated || codec_can_encode(&all[i]) ? "yes" : "no");
}

static void write_statuses(struct buffer *text)
{
    static const enum error_code codes[] = {
        ERROR_INVALID, ERROR_MISMATCH, ERROR_UNSUPPORTED, ERROR_CONFLICT,
        ERROR_LIMIT,   ERROR_NO_SPACE, ERROR_BUSY,        ERROR_IO,
        ERROR_CORRUPT, ERROR_TIMEOUT,  ERROR_STOPPED,
    };
    buffer_append_text(text, "| what is wrong | C-STORE | C-FIND, C-MOVE, C-GET |\n"
                             "| --- | --- | --- |\n");
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct error err = { .code = codes[i] };
        buffer_append_format(text, "| %s | %04X | %04X |\n", error_name(codes[i]),
                             status_from_error(SERVICE_STORAGE, &err).code,
                             status_from_error(SERVICE_FIND, &err).code);
    }
}

static void write_keys(struct buffer *text)
{
    static const struct {
        enum level level;
        const char *name;
    } levels[] = { { LEVEL_STUDY, "patient and study" },
                   { LEVEL_SERIES, "series" },
                   { LEVEL_INSTANCE, "instance" } };
    uint32_t tag;
    buffer_append_text(text, "| level | attributes |\n| --- | --- |\n");
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        size_t position = 0;
        const char *between = "";
        buffer_append_format(text, "| %s | ", levels[i].name);
        while (attribute_next(levels[i].level, &position, &tag)) {
            const struct dictionary_entry *entry = dictionary_find(tag);
            buffer_append_format(text, "%s%s", between, entry ? entry->keyword : "?");
            between = ", ";
        }
        buffer_append_text(text, " |\n");
    }
}

static void write_policies(const struct settings *settings, const struct settings *running,
                           struct buffer *text)
{
    buffer_append_text(text, "| | |\n| --- | --- |\n");
    buffer_append_format(text, "| AE title | %s%s |\n", settings->ae_title,
                         settings->accept_any_called_ae ? ", and any other that is called" : "");
    buffer_append_format(text, "| port | %d |\n", (int)running->dimse_port);
    if (running->dimse_tls_port > 0)
        buffer_append_format(text, "| port with TLS | %d, profile %s |\n",
                             (int)running->dimse_tls_port, settings->tls_profile);
    buffer_append_format(text, "| peers that are known | %zu |\n", settings->peer_count);
    buffer_append_format(text, "| user identity | %s |\n",
                         settings->require_user ? "there must be one"
                         : settings->user_count ? "is looked at"
                                                : "is ignored");
    buffer_append_format(text, "| associations at a time | %.0f, of one peer %.0f |\n",
                         settings->association_limit, settings->association_limit_per_peer);
    buffer_append_format(text, "| longest PDU received | %.0f |\n", settings->max_pdu);
    buffer_append_format(text, "| operations outstanding | %.0f |\n", settings->operations);
    buffer_append_format(text,
                         "| time-outs in seconds | association request %g, silence %g, message "
                         "%g, connecting %g, query %g |\n",
                         settings->artim_timeout_seconds, settings->idle_timeout_seconds,
                         settings->message_timeout_seconds, settings->connect_timeout_seconds,
                         settings->query_timeout_seconds);
    buffer_append_format(text, "| SOP classes that are not known | %s |\n",
                         settings->refuse_unknown_sop_classes ? "are refused" : "are stored");
    buffer_append_format(text, "| other content under a SOP Instance UID | %s, status %s |\n",
                         running->on_conflict, settings->conflict_status);
}

/* --- HTTP --- */

static const char *right_of(const struct route *route)
{
    switch (route->right) {
    case HTTP_ANYBODY:
        return "none";
    case HTTP_ADMIN:
        return "admin";
    default:
        return !strcmp(route->method, "GET") || route->right == HTTP_READ ? "read"
               : !strcmp(route->method, "DELETE")                         ? "delete"
                                                                          : "write";
    }
}

static void write_resources(const struct conformance *conformance, struct buffer *text)
{
    buffer_append_text(text, "| method | path | takes | gives | parameters | right, with users |\n"
                             "| --- | --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < conformance->count; i++) {
        const struct route_table *table = &conformance->tables[i];
        for (size_t j = 0; j < table->count; j++) {
            const struct route *route = &table->routes[j];
            if (route->summary)
                buffer_append_format(text, "| %s | `%s%s` | %s | %s | %s | %s |\n", route->method,
                                     table->prefix, route->pattern,
                                     route->consumes ? route->consumes : "",
                                     route->produces ? route->produces : "",
                                     route->query ? route->query : "", right_of(route));
        }
    }
}

/* --- HL7 --- */

static void write_hl7(const struct settings *running, struct buffer *text)
{
    const struct hl7_type *type;
    buffer_append_text(text, "\n## 8 HL7 v2\n\nVersions 2.1 to 2.9 over MLLP.");
    if (running->hl7_port > 0)
        buffer_append_format(text, " Port %d.", (int)running->hl7_port);
    if (running->hl7_tls_port > 0)
        buffer_append_format(text, " Port with TLS %d.", (int)running->hl7_tls_port);
    buffer_append_text(text, "\n\n| message | what it does |\n| --- | --- |\n");
    for (size_t i = 0; (type = hl7_type_at(i)); i++)
        buffer_append_format(text, "| %s%s%s | %s |\n", hl7_type_code(type),
                             *hl7_type_event(type) ? "^" : "", hl7_type_event(type),
                             hl7_type_effect(type));
    buffer_append_text(text, "\nFields and attributes; rules of the site come before these:\n\n");
    hl7_mapping_describe(text);
}

/* --- the document --- */

static void write_document(const struct conformance *conformance, const struct settings *settings,
                           const struct settings *running, struct buffer *text)
{
    buffer_append_text(text, "# DICOM conformance statement\n\n"
                             "Hounsfield " HOUNSFIELD_VERSION ", as it is set up and runs (PS3.2 "
                             "annex N).\n\n## 1 Overview\n\nNetwork services:\n\n");
    write_classes(settings, false, text);
    buffer_append_text(text, "\nStorage, C-STORE and storage commitment:\n\n");
    write_classes(settings, true, text);
    buffer_append_text(text, "\nMedia: none.\n\n## 2 Association policies\n\n");
    write_policies(settings, running, text);
    buffer_append_text(
        text, "\n## 3 Transfer syntaxes\n\nStorage takes these, and private ones, and keeps what "
              "comes; services that are no storage take Explicit and Implicit VR Little "
              "Endian.\n\n");
    write_syntaxes(text);
    buffer_append_text(text, "\n## 4 Queries\n\nEvery attribute that is stored may be a key. From "
                             "the index itself, without a look at headers:\n\n");
    write_keys(text);
    buffer_append_text(text, "\n## 5 Statuses of failures\n\n");
    write_statuses(text);
    buffer_append_text(text, "\n## 6 HTTP\n\n");
    buffer_append_format(text, "Port %d", (int)running->http_port);
    if (running->http_tls_port > 0)
        buffer_append_format(text, ", with TLS %d", (int)running->http_tls_port);
    buffer_append_format(text,
                         ". %s. A search gives at most %.0f matches at a time, a body has at "
                         "most %.0f MiB.\n\n",
                         *settings->users_file ? "Who asks must log in, where a right is named"
                                               : "Anybody may ask for anything",
                         running->query_limit, running->body_limit_mib);
    write_resources(conformance, text);
    buffer_append_text(text, "\n## 7 Character sets\n\nAll of PS3.3 C.12.1.1.2 are read; what is "
                             "sent over HTTP is UTF-8 (ISO_IR 192).\n");
    if (running->hl7_port > 0 || running->hl7_tls_port > 0)
        write_hl7(running, text);
}

static void answer(struct request *request, struct response *response)
{
    struct conformance *conformance = request_context(request);
    struct buffer copy = buffer_up_to(DOCUMENT_LIMIT);
    pthread_mutex_lock(&conformance->lock);
    buffer_append(&copy, buffer_slice(&conformance->text));
    pthread_mutex_unlock(&conformance->lock);
    response_status(response, 200);
    response_content_type(response, "text/markdown; charset=utf-8");
    response_body_take(response, &copy);
    buffer_release(&copy);
}

static const struct route routes[] = {
    { .method = "GET",
      .pattern = "/conformance",
      .respond = answer,
      .summary = "The DICOM conformance statement of this server",
      .produces = "text/markdown" },
};

struct conformance *conformance_new(void)
{
    struct conformance *conformance = mem_alloc(sizeof(*conformance));
    pthread_mutex_init(&conformance->lock, NULL);
    conformance->text = buffer_up_to(DOCUMENT_LIMIT);
    return conformance;
}

void conformance_free(struct conformance *conformance)
{
    if (!conformance)
        return;
    buffer_release(&conformance->text);
    pthread_mutex_destroy(&conformance->lock);
    free(conformance);
}

struct route_table conformance_routes(struct conformance *conformance)
{
    return (struct route_table){ "", routes, sizeof(routes) / sizeof(routes[0]), conformance };
}

void conformance_update(struct conformance *conformance, const struct settings *settings,
                        const struct route_table *tables, size_t count)
{
    if (count > TABLES_MAX)
        abort();
    memcpy(conformance->tables, tables, count * sizeof(*tables));
    conformance->count = count;
    conformance_reload(conformance, settings, settings);
}

void conformance_reload(struct conformance *conformance, const struct settings *settings,
                        const struct settings *running)
{
    struct buffer text = buffer_up_to(DOCUMENT_LIMIT);
    write_document(conformance, settings, running, &text);
    pthread_mutex_lock(&conformance->lock);
    struct buffer old = conformance->text;
    conformance->text = text;
    pthread_mutex_unlock(&conformance->lock);
    buffer_release(&old);
}
