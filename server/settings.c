/* SPDX-License-Identifier: MIT */
#include "server/settings.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "cast/withhold.h"
#include "dicom/uid.h"
#include "http/server.h"
#include "server/settings_parts.h"

enum { SETTINGS_FILE_LIMIT = 1 << 20 };

enum setting_type {
    TEXT,
    NUMBER,
    BOOLEAN,
    TITLES,
    ORIGINS,
    UIDS,
    NETWORKS,
    GROUPS,
    URLS,
    ISSUERS,
    PEERS,
    USERS,
    FORWARDS,
    COERCIONS,
    HL7_PEERS,
    HL7_DESTINATIONS,
    HL7_MAPPING
};

struct setting {
    const char *key; /* "group.name", or "name" at the top */
    enum setting_type type;
    size_t offset;
    double minimum;
    double maximum;
    const char *flag;
    const char *flag_value;
    const char *help;
};

#define AT(field) offsetof(struct settings, field)

static const struct setting table[] = {
    { "bind", TEXT, AT(bind), 0, 0, "--bind", "ADDR", "listen here (127.0.0.1; 0.0.0.0 for all)" },
    { "log", TEXT, AT(log), 0, 0, "--log", "LEVEL", "error, warn, info or debug" },
    { "data.directory", TEXT, AT(data_directory), 0, 0, "--data", "DIR",
      "the data directory (./var)" },
    { "data.segmentSizeMiB", NUMBER, AT(segment_size_mib), 1, 1 << 20, NULL, NULL, NULL },
    { "data.minimumFreeMiB", NUMBER, AT(minimum_free_mib), 1, 1e12, NULL, NULL, NULL },
    { "data.restartAfterFailure", BOOLEAN, AT(restart_after_failure), 0, 0, NULL, NULL, NULL },
    { "data.compactAboveDeadShare", NUMBER, AT(compact_above_dead_share), 0, 1, NULL, NULL, NULL },
    { "data.verify.everyDays", NUMBER, AT(verify_every_days), 0, 36500, NULL, NULL, NULL },
    { "data.verify.mibPerSecond", NUMBER, AT(verify_mib_per_second), 0.01, 1e6, NULL, NULL, NULL },
    { "store.onConflict", TEXT, AT(on_conflict), 0, 0, NULL, NULL, NULL },
    { "store.versionsKept", NUMBER, AT(versions_kept), 1, 1000, NULL, NULL, NULL },
    { "store.amendPatients", BOOLEAN, AT(amend_patients), 0, 0, NULL, NULL, NULL },
    { "store.coerce", COERCIONS, AT(coercions), 0, 0, NULL, NULL, NULL },
    { "store.conflictStatus", TEXT, AT(conflict_status), 0, 0, NULL, NULL, NULL },
    { "dimse.port", NUMBER, AT(dimse_port), 1, 65535, "--dimse-port", "N", "DICOM port (11112)" },
    { "dimse.tlsPort", NUMBER, AT(dimse_tls_port), 0, 65535, NULL, NULL, NULL },
    { "dimse.tlsCertificate", TEXT, AT(tls_certificate), 0, 0, NULL, NULL, NULL },
    { "dimse.tlsKey", TEXT, AT(tls_key), 0, 0, NULL, NULL, NULL },
    { "dimse.tlsCa", TEXT, AT(tls_ca), 0, 0, NULL, NULL, NULL },
    { "dimse.tlsCrl", TEXT, AT(tls_crl), 0, 0, NULL, NULL, NULL },
    { "dimse.tlsProfile", TEXT, AT(tls_profile), 0, 0, NULL, NULL, NULL },
    { "dimse.aeTitle", TEXT, AT(ae_title), 0, 0, "--aet", "TITLE", "our AE title (HOUNSFIELD)" },
    { "dimse.acceptAnyCalledAe", BOOLEAN, AT(accept_any_called_ae), 0, 0, NULL, NULL, NULL },
    { "dimse.callingAeTitles", TITLES, AT(calling_ae_titles), 0, 0, NULL, NULL, NULL },
    { "dimse.peers", PEERS, AT(peers), 0, 0, "--peer", "TITLE=HOST:PORT",
      "a peer that we know; may be given several times" },
    { "dimse.users", USERS, AT(users), 0, 0, NULL, NULL, NULL },
    { "dimse.forward", FORWARDS, AT(forward_rules), 0, 0, NULL, NULL, NULL },
    { "dimse.notifyAvailability", TITLES, AT(availability_to), 0, 0, NULL, NULL, NULL },
    { "dimse.notifyPerformed", TITLES, AT(performed_to), 0, 0, NULL, NULL, NULL },
    { "dimse.notifyQuietSeconds", NUMBER, AT(availability_quiet_seconds), 0.01, 86400, NULL, NULL,
      NULL },
    { "dimse.forwardRetrySeconds", NUMBER, AT(forward_retry_seconds), 0.01, 3600, NULL, NULL,
      NULL },
    { "dimse.requireUser", BOOLEAN, AT(require_user), 0, 0, NULL, NULL, NULL },
    { "dimse.async", NUMBER, AT(operations), 1, 1000, NULL, NULL, NULL },
    { "dimse.trustNetwork", BOOLEAN, AT(trust_network), 0, 0, NULL, NULL, NULL },
    { "dimse.refuseUnknownSopClasses", BOOLEAN, AT(refuse_unknown_sop_classes), 0, 0, NULL, NULL,
      NULL },
    { "dimse.refusedSopClasses", UIDS, AT(refused_sop_classes), 0, 0, NULL, NULL, NULL },
    { "dimse.associationLimit", NUMBER, AT(association_limit), 1, 10000, NULL, NULL, NULL },
    { "dimse.associationLimitPerPeer", NUMBER, AT(association_limit_per_peer), 1, 10000, NULL, NULL,
      NULL },
    { "dimse.maxPdu", NUMBER, AT(max_pdu), 4096, 16 << 20, NULL, NULL, NULL },
    { "dimse.artimTimeoutSeconds", NUMBER, AT(artim_timeout_seconds), 0.01, 86400, NULL, NULL,
      NULL },
    { "dimse.idleTimeoutSeconds", NUMBER, AT(idle_timeout_seconds), 0.01, 86400 * 7, NULL, NULL,
      NULL },
    { "dimse.messageTimeoutSeconds", NUMBER, AT(message_timeout_seconds), 0.01, 86400, NULL, NULL,
      NULL },
    { "dimse.connectTimeoutSeconds", NUMBER, AT(connect_timeout_seconds), 0.01, 3600, NULL, NULL,
      NULL },
    { "dimse.queryTimeoutSeconds", NUMBER, AT(query_timeout_seconds), 0.01, 86400, NULL, NULL,
      NULL },
    { "dimse.commitmentWaitSeconds", NUMBER, AT(commitment_wait_seconds), 0, 86400 * 7, NULL, NULL,
      NULL },
    { "dimse.commitmentRetrySeconds", NUMBER, AT(commitment_retry_seconds), 0.01, 3600, NULL, NULL,
      NULL },
    { "http.port", NUMBER, AT(http_port), 1, 65535, "--http-port", "N", "HTTP port (8080)" },
    { "http.baseUrl", TEXT, AT(base_url), 0, 0, "--base-url", "URL",
      "how clients see us, e.g. https://images.example.org" },
    { "http.tlsPort", NUMBER, AT(http_tls_port), 0, 65535, "--https-port", "N",
      "HTTPS port (none)" },
    { "http.tlsCertificate", TEXT, AT(http_tls_certificate), 0, 0, NULL, NULL, NULL },
    { "http.tlsKey", TEXT, AT(http_tls_key), 0, 0, NULL, NULL, NULL },
    { "http.trustedProxies", NETWORKS, AT(trusted_proxies), 0, 0, NULL, NULL, NULL },
    { "http.forwardedHeader", TEXT, AT(forwarded_header), 0, 0, NULL, NULL, NULL },
    { "http.usersFile", TEXT, AT(users_file), 0, 0, NULL, NULL, NULL },
    { "http.accessLog", BOOLEAN, AT(access_log), 0, 0, NULL, NULL, NULL },
    { "http.corsOrigins", ORIGINS, AT(cors_origins), 0, 0, NULL, NULL, NULL },
    { "http.viewerDirectory", TEXT, AT(viewer_directory), 0, 0, "--viewer", "DIR",
      "a web viewer's folder (OHIF), served at /viewer" },
    { "http.viewerOrigins", ORIGINS, AT(viewer_origins), 0, 0, NULL, NULL, NULL },
    { "http.connectionLimit", NUMBER, AT(connection_limit), 1, 60000, NULL, NULL, NULL },
    { "http.connectionLimitPerAddress", NUMBER, AT(connection_limit_per_address), 1, 60000, NULL,
      NULL, NULL },
    { "http.idleTimeoutSeconds", NUMBER, AT(http_idle_timeout_seconds), 1, 86400, NULL, NULL,
      NULL },
    { "http.headerTimeoutSeconds", NUMBER, AT(header_timeout_seconds), 1, 3600, NULL, NULL, NULL },
    { "http.minimumBytesPerSecond", NUMBER, AT(minimum_rate), 1, 1e9, NULL, NULL, NULL },
    { "http.bodyLimitMiB", NUMBER, AT(body_limit_mib), 1, 1e9, NULL, NULL, NULL },
    { "worklist.keepDoneDays", NUMBER, AT(keep_done_days), 0.00001, 36500, NULL, NULL, NULL },
    { "worklist.rescheduleDiscontinued", BOOLEAN, AT(reschedule_discontinued), 0, 0, NULL, NULL,
      NULL },
    { "worklist.deletionLocks", BOOLEAN, AT(deletion_locks), 0, 0, NULL, NULL, NULL },
    { "hl7.port", NUMBER, AT(hl7_port), 0, 65535, "--hl7-port", "N",
      "HL7 v2 by MLLP (none; 2575 is usual)" },
    { "hl7.tlsPort", NUMBER, AT(hl7_tls_port), 0, 65535, NULL, NULL, NULL },
    { "hl7.destinations", HL7_DESTINATIONS, AT(hl7_destinations), 0, 0, NULL, NULL, NULL },
    { "hl7.retrySeconds", NUMBER, AT(hl7_retry_seconds), 0.01, 3600, NULL, NULL, NULL },
    { "hl7.peers", HL7_PEERS, AT(hl7_peers), 0, 0, NULL, NULL, NULL },
    { "hl7.trustNetwork", BOOLEAN, AT(hl7_trust_network), 0, 0, NULL, NULL, NULL },
    { "hl7.characterSet", TEXT, AT(hl7_character_set), 0, 0, NULL, NULL, NULL },
    { "hl7.assigningAuthority", TEXT, AT(hl7_assigning_authority), 0, 0, NULL, NULL, NULL },
    { "hl7.processingIds", TEXT, AT(hl7_processing_ids), 0, 0, NULL, NULL, NULL },
    { "hl7.stationAeTitle", TEXT, AT(hl7_station_ae), 0, 0, NULL, NULL, NULL },
    { "hl7.mapping", HL7_MAPPING, AT(hl7_rules), 0, 0, NULL, NULL, NULL },
    { "hl7.messageLimitMiB", NUMBER, AT(hl7_message_limit_mib), 0.001, 128, NULL, NULL, NULL },
    { "hl7.messageTimeoutSeconds", NUMBER, AT(hl7_message_timeout_seconds), 0.01, 86400, NULL, NULL,
      NULL },
    { "hl7.idleTimeoutSeconds", NUMBER, AT(hl7_idle_timeout_seconds), 0, 86400 * 7, NULL, NULL,
      NULL },
    { "hl7.connectionLimit", NUMBER, AT(hl7_connection_limit), 1, 10000, NULL, NULL, NULL },
    { "hl7.connectionLimitPerAddress", NUMBER, AT(hl7_connection_limit_per_address), 1, 10000, NULL,
      NULL, NULL },
    { "hl7.workers", NUMBER, AT(hl7_workers), 1, 256, NULL, NULL, NULL },
    { "dicomweb.prefix", TEXT, AT(dicomweb_prefix), 0, 0, NULL, NULL, NULL },
    { "dicomweb.queryLimit", NUMBER, AT(query_limit), 1, 1e9, NULL, NULL, NULL },
    { "dicomweb.queryTimeoutSeconds", NUMBER, AT(web_query_timeout_seconds), 0.01, 86400, NULL,
      NULL, NULL },
    { "dicomweb.feedWaiters", NUMBER, AT(feed_waiters), 1, 60000, NULL, NULL, NULL },
    { "dicomweb.metadataCacheMiB", NUMBER, AT(metadata_cache_mib), 0, 1e6, NULL, NULL, NULL },
    { "dicomweb.pictureCacheMiB", NUMBER, AT(picture_cache_mib), 0, 1e6, NULL, NULL, NULL },
    { "fhir.version", TEXT, AT(fhir_version), 0, 0, NULL, NULL, NULL },
    { "fhir.prefix", TEXT, AT(fhir_prefix), 0, 0, NULL, NULL, NULL },
    { "fhir.url", TEXT, AT(fhir_url), 0, 0, "--fhir-url", "URL",
      "a FHIR server (R4 or R5) to keep in step (none)" },
    { "fhir.bearerToken", TEXT, AT(bearer_token), 0, 0, NULL, NULL, NULL },
    { "fhir.bearerTokenFile", TEXT, AT(bearer_token_file), 0, 0, NULL, NULL, NULL },
    { "fhir.oauth.tokenUrl", TEXT, AT(oauth_token_url), 0, 0, NULL, NULL, NULL },
    { "fhir.oauth.clientId", TEXT, AT(oauth_client_id), 0, 0, NULL, NULL, NULL },
    { "fhir.oauth.clientSecret", TEXT, AT(oauth_client_secret), 0, 0, NULL, NULL, NULL },
    { "fhir.oauth.clientSecretFile", TEXT, AT(oauth_client_secret_file), 0, 0, NULL, NULL, NULL },
    { "fhir.oauth.keyFile", TEXT, AT(oauth_key_file), 0, 0, NULL, NULL, NULL },
    { "fhir.oauth.keyId", TEXT, AT(oauth_key_id), 0, 0, NULL, NULL, NULL },
    { "fhir.oauth.scope", TEXT, AT(oauth_scope), 0, 0, NULL, NULL, NULL },
    { "fhir.tlsCa", TEXT, AT(fhir_tls_ca), 0, 0, NULL, NULL, NULL },
    { "fhir.tlsCertificate", TEXT, AT(fhir_tls_certificate), 0, 0, NULL, NULL, NULL },
    { "fhir.tlsKey", TEXT, AT(fhir_tls_key), 0, 0, NULL, NULL, NULL },
    { "fhir.proxy", TEXT, AT(fhir_proxy), 0, 0, NULL, NULL, NULL },
    { "fhir.user", TEXT, AT(user), 0, 0, NULL, NULL, NULL },
    { "fhir.password", TEXT, AT(password), 0, 0, NULL, NULL, NULL },
    { "fhir.quietSeconds", NUMBER, AT(quiet_seconds), 0, 86400, "--cast-quiet", "SECONDS",
      "how long a study must be quiet before it is cast (5)" },
    { "fhir.maximumAgeSeconds", NUMBER, AT(maximum_age_seconds), 0, 86400 * 7, NULL, NULL, NULL },
    { "fhir.identifierSystem", TEXT, AT(identifier_system), 0, 0, NULL, NULL, NULL },
    { "fhir.timezone", TEXT, AT(timezone), 0, 0, NULL, NULL, NULL },
    { "fhir.strict", BOOLEAN, AT(strict_mapping), 0, 0, NULL, NULL, NULL },
    { "fhir.lookUp", BOOLEAN, AT(cast_looks_up), 0, 0, NULL, NULL, NULL },
    { "fhir.studiesAtOnce", NUMBER, AT(cast_workers), 1, 64, NULL, NULL, NULL },
    { "fhir.timeoutSeconds", NUMBER, AT(fhir_timeout_seconds), 0.1, 3600, NULL, NULL, NULL },
    { "fhir.onRemoval", TEXT, AT(cast_removal), 0, 0, NULL, NULL, NULL },
    { "fhir.orders.everySeconds", NUMBER, AT(orders_every_seconds), 0, 86400, NULL, NULL, NULL },
    { "fhir.orders.modality", TEXT, AT(orders_modality), 0, 0, NULL, NULL, NULL },
    { "fhir.orders.station", TEXT, AT(orders_station), 0, 0, NULL, NULL, NULL },
    { "fhir.orders.issuers", ISSUERS, AT(orders_issuers), 0, 0, NULL, NULL, NULL },
    { "fhir.withhold", GROUPS, AT(cast_withhold), 0, 0, NULL, NULL, NULL },
    { "fhir.viewWithhold", GROUPS, AT(view_withhold), 0, 0, NULL, NULL, NULL },
    { "webhook.urls", URLS, AT(webhook_urls), 0, 0, NULL, NULL, NULL },
    { "webhook.secretFile", TEXT, AT(webhook_secret_file), 0, 0, NULL, NULL, NULL },
    { "webhook.tlsCa", TEXT, AT(webhook_tls_ca), 0, 0, NULL, NULL, NULL },
    { "webhook.proxy", TEXT, AT(webhook_proxy), 0, 0, NULL, NULL, NULL },
};
enum { TABLE_SIZE = sizeof(table) / sizeof(table[0]) };

/* From hounsfield.json, made by CMake. */
extern const char default_settings_file[];

const char *settings_default_file(void)
{
    return default_settings_file;
}

static void replace_text(char **field, const char *text)
{
    free(*field);
    *field = mem_copy_text(text);
}

/* As a browser writes it: a scheme, a host, perhaps a port, and nothing behind. */
static bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");
    if (!strcmp(text, "*"))
        return true;
    return host && host > text && host[3] && strlen(text) < 256 && !strpbrk(host + 3, "/?# \t\r\n");
}

static bool is_url(const char *text)
{
    return (!strncmp(text, "http://", 7) || !strncmp(text, "https://", 8)) && strlen(text) < 2048 &&
           !strpbrk(text, " \t\r\n\"");
}

static bool is_group_of_cast(const char *text)
{
    const char *const names[] = { text, NULL };
    unsigned set;
    return withhold_read(names, &set, NULL);
}

static void clear_list(struct text_list *list)
{
    while (list->count)
        free(list->items[--list->count]);
    list->items[0] = NULL;
}

/* "http://hospital.example/mrn=HOSP" */
static bool is_issuer(const char *text)
{
    const char *equals = strrchr(text, '=');
    return equals && equals != text && equals[1] && strlen(equals + 1) <= 64 &&
           !strpbrk(text, "\\ \t\r\n");
}

static const struct list_kind {
    enum setting_type type;
    bool (*is_valid)(const char *text);
    const char *what;
} list_kinds[] = {
    { TITLES, settings_is_ae_title, "AE titles" },
    { UIDS, uid_is_valid, "UIDs" },
    { NETWORKS, http_is_network, "addresses or networks, such as 10.0.0.0/8" },
    { GROUPS, is_group_of_cast, "groups of what is cast (the file of settings names them)" },
    { URLS, is_url, "URLs, such as https://hook.example.org/images" },
    { ISSUERS, is_issuer, "systems and issuers, such as http://hospital.example/mrn=HOSP" },
    { ORIGINS, is_origin, "origins, such as https://viewer.example.org" },
};

static bool apply_list(struct settings *settings, const struct setting *setting, const cJSON *value,
                       struct error *err)
{
    struct text_list *list = (struct text_list *)((char *)settings + setting->offset);
    const struct list_kind *kind = list_kinds;
    while (kind->type != setting->type)
        kind++;
    const cJSON *text;
    clear_list(list);
    cJSON_ArrayForEach(text, value)
    {
        if (!cJSON_IsString(text) || !kind->is_valid(text->valuestring))
            return error_set(err, ERROR_INVALID, "%s takes a list of %s", setting->key, kind->what);
        if (list->count == SETTINGS_MAX_TEXTS)
            return error_set(err, ERROR_LIMIT, "%s: more than %d of them", setting->key,
                             SETTINGS_MAX_TEXTS);
        list->items[list->count++] = mem_copy_text(text->valuestring);
        list->items[list->count] = NULL;
    }
    return true;
}

static bool apply_number(struct settings *settings, const struct setting *setting, double number,
                         struct error *err)
{
    if (!(number >= setting->minimum && number <= setting->maximum))
        return error_set(err, ERROR_INVALID, "%s must be between %.10g and %.10g", setting->key,
                         setting->minimum, setting->maximum);
    void *field = (char *)settings + setting->offset;
    *(double *)field = number;
    return true;
}

static bool apply(struct settings *settings, const struct setting *setting, const cJSON *value,
                  struct error *err)
{
    void *field = (char *)settings + setting->offset;
    switch (setting->type) {
    case TEXT:
        if (!cJSON_IsString(value))
            return error_set(err, ERROR_INVALID, "%s takes a text in quotes", setting->key);
        replace_text(field, value->valuestring);
        return true;
    case NUMBER:
        if (!cJSON_IsNumber(value))
            return error_set(err, ERROR_INVALID, "%s takes a number", setting->key);
        return apply_number(settings, setting, value->valuedouble, err);
    case BOOLEAN:
        if (!cJSON_IsBool(value))
            return error_set(err, ERROR_INVALID, "%s takes true or false", setting->key);
        *(bool *)field = cJSON_IsTrue(value);
        return true;
    case TITLES:
    case ORIGINS:
    case UIDS:
    case NETWORKS:
    case GROUPS:
    case URLS:
    case ISSUERS:
    case PEERS:
    case USERS:
    case FORWARDS:
    case HL7_PEERS:
    case HL7_DESTINATIONS:
    case COERCIONS:
        if (!cJSON_IsArray(value))
            return error_set(err, ERROR_INVALID, "%s takes a list", setting->key);
        return setting->type == PEERS   ? settings_take_peers(settings, setting->key, value, err)
               : setting->type == USERS ? settings_take_users(settings, setting->key, value, err)
               : setting->type == HL7_DESTINATIONS
                   ? settings_take_hl7_destinations(settings, setting->key, value, err)
               : setting->type == HL7_PEERS
                   ? settings_take_hl7_peers(settings, setting->key, value, err)
               : setting->type == COERCIONS
                   ? settings_take_coercions(settings, setting->key, value, err)
               : setting->type == FORWARDS
                   ? settings_take_forwards(settings, setting->key, value, err)
                   : apply_list(settings, setting, value, err);
    case HL7_MAPPING:
        return cJSON_IsObject(value)
                   ? settings_take_hl7_mapping(settings, setting->key, value, err)
                   : error_set(err, ERROR_INVALID, "%s takes an object", setting->key);
    }
    return false;
}

static const struct setting *find_key(const char *group, const char *name)
{
    char key[128];
    snprintf(key, sizeof(key), "%s%s%s", group, *group ? "." : "", name);
    for (size_t i = 0; i < TABLE_SIZE; i++)
        if (!strcmp(table[i].key, key))
            return &table[i];
    return NULL;
}

static bool is_group(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < TABLE_SIZE; i++)
        if (!strncmp(table[i].key, name, size) && table[i].key[size] == '.')
            return true;
    return false;
}

static bool apply_group(struct settings *settings, const char *group, const cJSON *object,
                        struct error *err)
{
    const cJSON *value;
    cJSON_ArrayForEach(value, object)
    {
        const char *name = value->string;
        const struct setting *setting = find_key(group, name);
        char path[128];
        snprintf(path, sizeof(path), "%s%s%s", group, *group ? "." : "", name);
        if (!setting && cJSON_IsObject(value) && is_group(path)) {
            if (!apply_group(settings, path, value, err))
                return false;
        } else if (!setting) {
            return error_set(err, ERROR_INVALID,
                             "unknown key \"%s%s%s\" (`hounsfield settings` shows all)", group,
                             *group ? "." : "", name);
        } else if (!apply(settings, setting, value, err)) {
            return false;
        }
    }
    return true;
}

/* Which line of the text, counted from 1, for people who look for their mistake. */
static int line_of(const char *text, const char *position)
{
    int line = 1;
    for (; text < position && *text; text++)
        line += *text == '\n';
    return line;
}

/* Comments become blanks (line ends stay, so that lines can be counted), strings are left alone. */
static void blank_comments(char *text)
{
    bool in_string = false;
    for (char *c = text; *c; c++) {
        if (in_string) {
            if (*c == '\\' && c[1])
                c++;
            else if (*c == '"')
                in_string = false;
        } else if (*c == '"') {
            in_string = true;
        } else if (c[0] == '/' && c[1] == '/') {
            while (*c && *c != '\n')
                *c++ = ' ';
            if (!*c)
                return;
        } else if (c[0] == '/' && c[1] == '*') {
            while (*c && !(c[0] == '*' && c[1] == '/')) {
                if (*c != '\n')
                    *c = ' ';
                c++;
            }
            if (!*c)
                return;
            c[0] = ' ';
            c[1] = ' ';
        }
    }
}

static bool apply_text(struct settings *settings, const char *text, struct error *err)
{
    char *json = mem_copy_text(text);
    const char *end = NULL;
    bool ok = false;
    blank_comments(json);
    cJSON *root = cJSON_ParseWithOpts(json, &end, true);
    if (!root) {
        error_set(err, ERROR_INVALID,
                  "line %d: not JSON (a comma, quote or brace too many or too few?)",
                  line_of(json, end ? end : json));
    } else if (!cJSON_IsObject(root)) {
        error_set(err, ERROR_INVALID, "not a JSON object");
    } else {
        ok = apply_group(settings, "", root, err);
    }
    cJSON_Delete(root);
    free(json);
    return ok;
}

static bool apply_file(struct settings *settings, const char *path, struct error *err)
{
    struct buffer text = buffer_up_to(SETTINGS_FILE_LIMIT);
    bool ok = false;
    FILE *file = fopen(path, "rb");
    if (!file)
        return error_set_errno(err, errno, "cannot open %s", path);
    char piece[4096];
    size_t size;
    while ((size = fread(piece, 1, sizeof(piece), file)) > 0)
        if (!buffer_append(&text, slice_of(piece, size)))
            break;
    if (ferror(file))
        error_set_errno(err, errno, "cannot read %s", path);
    else if (buffer_check(&text, path, err))
        ok = apply_text(settings, buffer_text(&text), err) || error_add_context(err, "%s", path);
    fclose(file);
    buffer_release(&text);
    return ok;
}

static bool apply_flag(struct settings *settings, const char *flag, const char *value,
                       struct error *err)
{
    const struct setting *setting = NULL;
    for (size_t i = 0; i < TABLE_SIZE; i++)
        if (table[i].flag && !strcmp(table[i].flag, flag))
            setting = &table[i];
    if (!setting && flag[0] == '-' && strchr(flag, '='))
        return error_set(err, ERROR_INVALID,
                         "unknown flag %s (flag and value are two words: --data DIR)", flag);
    if (!setting)
        return error_set(err, ERROR_INVALID, "unknown flag %s (see hounsfield --help)", flag);
    if (!value)
        return error_set(err, ERROR_INVALID, "%s needs a value: %s %s", flag, flag,
                         setting->flag_value);
    if (setting->type == PEERS)
        return settings_add_peer(settings, value, err);
    if (setting->type == TEXT) {
        replace_text((char **)((char *)settings + setting->offset), value);
        return true;
    }
    char *end;
    double number = strtod(value, &end);
    if (!*value || *end)
        return error_set(err, ERROR_INVALID, "%s takes a number, not \"%s\"", flag, value);
    return apply_number(settings, setting, number, err) || error_add_context(err, "%s", flag);
}

bool settings_load(int flag_count, char **flags, struct settings **out, struct error *err)
{
    struct settings *settings = mem_alloc(sizeof(*settings));
    if (!apply_text(settings, default_settings_file, err))
        goto failed;
    for (int i = 0; i < flag_count; i += 2) {
        const char *value = i + 1 < flag_count ? flags[i + 1] : NULL;
        if (!strcmp(flags[i], "--config")) {
            if (!value) {
                error_set(err, ERROR_INVALID, "--config needs a value: --config FILE");
                goto failed;
            }
            if (!apply_file(settings, value, err))
                goto failed;
        }
    }
    for (int i = 0; i < flag_count; i += 2)
        if (strcmp(flags[i], "--config") &&
            !apply_flag(settings, flags[i], i + 1 < flag_count ? flags[i + 1] : NULL, err))
            goto failed;
    if (!settings_check(settings, err))
        goto failed;
    *out = settings;
    return true;
failed:
    settings_free(settings);
    return false;
}

void settings_free(struct settings *settings)
{
    if (!settings)
        return;
    for (size_t i = 0; i < TABLE_SIZE; i++)
        if (table[i].type == TEXT)
            free(*(char **)((char *)settings + table[i].offset));
    clear_list(&settings->calling_ae_titles);
    clear_list(&settings->availability_to);
    clear_list(&settings->performed_to);
    clear_list(&settings->refused_sop_classes);
    clear_list(&settings->cors_origins);
    clear_list(&settings->trusted_proxies);
    clear_list(&settings->viewer_origins);
    clear_list(&settings->cast_withhold);
    clear_list(&settings->view_withhold);
    clear_list(&settings->webhook_urls);
    clear_list(&settings->orders_issuers);
    settings_release_lists(settings);
    free(settings);
}

void settings_print_flags(FILE *out)
{
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        char flag[64];
        if (!table[i].flag)
            continue;
        snprintf(flag, sizeof(flag), "%s %s", table[i].flag, table[i].flag_value);
        fprintf(out, "  %-26s %s\n", flag, table[i].help);
    }
}
