/* SPDX-License-Identifier: MIT */
#include "server/settings.h"

#include <arpa/inet.h>
#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "dicom/tag.h"
#include "dicom/uid.h"
#include "dimse/pdu.h"
#include "http/server.h"

enum { SETTINGS_FILE_LIMIT = 1 << 20 };

enum setting_type {
    TEXT,
    NUMBER,
    BOOLEAN,
    TITLES,
    ORIGINS,
    UIDS,
    NETWORKS,
    PEERS,
    USERS,
    FORWARDS,
    COERCIONS
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
    { "store.coerce", COERCIONS, AT(coercions), 0, 0, NULL, NULL, NULL },
    { "store.conflictStatus", TEXT, AT(conflict_status), 0, 0, NULL, NULL, NULL },
    { "dimse.port", NUMBER, AT(dimse_port), 1, 65535, "--dimse-port", "N", "DICOM port (11112)" },
    { "dimse.tlsPort", NUMBER, AT(dimse_tls_port), 0, 65535, NULL, NULL, NULL },
    { "dimse.tlsCertificate", TEXT, AT(tls_certificate), 0, 0, NULL, NULL, NULL },
    { "dimse.tlsKey", TEXT, AT(tls_key), 0, 0, NULL, NULL, NULL },
    { "dimse.tlsCa", TEXT, AT(tls_ca), 0, 0, NULL, NULL, NULL },
    { "dimse.tlsCrl", TEXT, AT(tls_crl), 0, 0, NULL, NULL, NULL },
    { "dimse.aeTitle", TEXT, AT(ae_title), 0, 0, "--aet", "TITLE", "our AE title (HOUNSFIELD)" },
    { "dimse.acceptAnyCalledAe", BOOLEAN, AT(accept_any_called_ae), 0, 0, NULL, NULL, NULL },
    { "dimse.callingAeTitles", TITLES, AT(calling_ae_titles), 0, 0, NULL, NULL, NULL },
    { "dimse.peers", PEERS, AT(peers), 0, 0, "--peer", "TITLE=HOST:PORT",
      "a peer that we know; may be given several times" },
    { "dimse.users", USERS, AT(users), 0, 0, NULL, NULL, NULL },
    { "dimse.forward", FORWARDS, AT(forward_rules), 0, 0, NULL, NULL, NULL },
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
    { "http.connectionLimit", NUMBER, AT(connection_limit), 1, 60000, NULL, NULL, NULL },
    { "http.connectionLimitPerAddress", NUMBER, AT(connection_limit_per_address), 1, 60000, NULL,
      NULL, NULL },
    { "http.idleTimeoutSeconds", NUMBER, AT(http_idle_timeout_seconds), 1, 86400, NULL, NULL,
      NULL },
    { "http.headerTimeoutSeconds", NUMBER, AT(header_timeout_seconds), 1, 3600, NULL, NULL, NULL },
    { "http.minimumBytesPerSecond", NUMBER, AT(minimum_rate), 1, 1e9, NULL, NULL, NULL },
    { "http.bodyLimitMiB", NUMBER, AT(body_limit_mib), 1, 1e9, NULL, NULL, NULL },
    { "dicomweb.prefix", TEXT, AT(dicomweb_prefix), 0, 0, NULL, NULL, NULL },
    { "dicomweb.queryLimit", NUMBER, AT(query_limit), 1, 1e9, NULL, NULL, NULL },
    { "dicomweb.metadataCacheMiB", NUMBER, AT(metadata_cache_mib), 0, 1e6, NULL, NULL, NULL },
    { "fhir.prefix", TEXT, AT(fhir_prefix), 0, 0, NULL, NULL, NULL },
    { "fhir.url", TEXT, AT(fhir_url), 0, 0, "--fhir-url", "URL",
      "a FHIR R4 server to keep in step (none)" },
    { "fhir.bearerToken", TEXT, AT(bearer_token), 0, 0, NULL, NULL, NULL },
    { "fhir.user", TEXT, AT(user), 0, 0, NULL, NULL, NULL },
    { "fhir.password", TEXT, AT(password), 0, 0, NULL, NULL, NULL },
    { "fhir.quietSeconds", NUMBER, AT(quiet_seconds), 0, 86400, "--cast-quiet", "SECONDS",
      "how long a study must be quiet before it is cast (5)" },
    { "fhir.maximumAgeSeconds", NUMBER, AT(maximum_age_seconds), 0, 86400 * 7, NULL, NULL, NULL },
    { "fhir.identifierSystem", TEXT, AT(identifier_system), 0, 0, NULL, NULL, NULL },
    { "fhir.timezone", TEXT, AT(timezone), 0, 0, NULL, NULL, NULL },
    { "fhir.strict", BOOLEAN, AT(strict_mapping), 0, 0, NULL, NULL, NULL },
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

static bool is_ae_title(const char *text)
{
    size_t size = strlen(text);
    if (!size || size > 16 || text[0] == ' ' || text[size - 1] == ' ')
        return false;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f || *c == '\\')
            return false;
    return true;
}

static void free_peer(struct peer *peer)
{
    free((char *)peer->ae_title);
    free((char *)peer->host);
    free((char *)peer->certificate);
    free((char *)peer->character_set);
    for (const char *const *uid = peer->transfer_syntaxes; uid && *uid; uid++)
        free((char *)*uid);
    free((void *)peer->transfer_syntaxes);
}

/* Checks a peer and takes it with all it points to. */
static bool add_peer_take(struct settings *settings, struct peer peer, struct error *err)
{
    if (!is_ae_title(peer.ae_title)) {
        error_set(err, ERROR_INVALID, "\"%s\" is no AE title (1 to 16 characters)", peer.ae_title);
        goto fail;
    }
    for (size_t i = 0; i < settings->peer_count; i++)
        if (!strcmp(settings->peers[i].ae_title, peer.ae_title)) {
            error_set(err, ERROR_INVALID, "peer %s is given twice", peer.ae_title);
            goto fail;
        }
    if (peer.port && (!peer.host || !*peer.host)) {
        error_set(err, ERROR_INVALID, "peer %s has no host", peer.ae_title);
        goto fail;
    }
    if (settings->peer_count == SETTINGS_MAX_PEERS) {
        error_set(err, ERROR_LIMIT, "more than %d peers", SETTINGS_MAX_PEERS);
        goto fail;
    }
    settings->peers[settings->peer_count++] = peer;
    return true;
fail:
    free_peer(&peer);
    return false;
}

static bool to_port(double number, uint16_t *port)
{
    if (!(number >= 1 && number <= 65535) || number != floor(number))
        return false;
    *port = (uint16_t)number;
    return true;
}

/* TITLE=HOST:PORT, where HOST may be an IPv6 address in brackets. */
static bool parse_peer(struct settings *settings, const char *text, struct error *err)
{
    char *copy = mem_copy_text(text);
    char *host = strchr(copy, '=');
    char *port = strrchr(copy, ':');
    bool ok = false;
    if (!host || !port || port < host) {
        error_set(err, ERROR_INVALID, "--peer takes TITLE=HOST:PORT, not \"%s\"", text);
        goto out;
    }
    *host++ = '\0';
    *port++ = '\0';
    if (*host == '[' && port - 2 > host && port[-2] == ']') {
        port[-2] = '\0';
        host++;
    }
    char *end;
    double number = strtod(port, &end);
    struct peer peer = { .rights = RIGHT_ALL };
    if (!*port || *end || !to_port(number, &peer.port)) {
        error_set(err, ERROR_INVALID, "peer %s: port must be 1 to 65535", copy);
        goto out;
    }
    peer.ae_title = mem_copy_text(copy);
    peer.host = mem_copy_text(host);
    ok = add_peer_take(settings, peer, err);
out:
    free(copy);
    return ok;
}

/* As a browser writes it: a scheme, a host, perhaps a port, and nothing behind. */
static bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");
    if (!strcmp(text, "*"))
        return true;
    return host && host > text && host[3] && strlen(text) < 256 && !strpbrk(host + 3, "/?# \t\r\n");
}

static void clear_list(struct text_list *list)
{
    while (list->count)
        free(list->items[--list->count]);
    list->items[0] = NULL;
}

static bool apply_list(struct settings *settings, const struct setting *setting, const cJSON *value,
                       struct error *err)
{
    struct text_list *list = (struct text_list *)((char *)settings + setting->offset);
    bool (*is_valid)(const char *) = setting->type == TITLES     ? is_ae_title
                                     : setting->type == UIDS     ? uid_is_valid
                                     : setting->type == NETWORKS ? http_is_network
                                                                 : is_origin;
    const char *kind = setting->type == TITLES     ? "AE titles"
                       : setting->type == UIDS     ? "UIDs"
                       : setting->type == NETWORKS ? "addresses or networks, such as 10.0.0.0/8"
                                                   : "origins, such as https://viewer.example.org";
    const cJSON *text;
    clear_list(list);
    cJSON_ArrayForEach(text, value)
    {
        if (!cJSON_IsString(text) || !is_valid(text->valuestring))
            return error_set(err, ERROR_INVALID, "%s takes a list of %s", setting->key, kind);
        if (list->count == SETTINGS_MAX_TEXTS)
            return error_set(err, ERROR_LIMIT, "%s: more than %d of them", setting->key,
                             SETTINGS_MAX_TEXTS);
        list->items[list->count++] = mem_copy_text(text->valuestring);
        list->items[list->count] = NULL;
    }
    return true;
}

static bool take_text(const cJSON *value, const char **text)
{
    if (!cJSON_IsString(value))
        return false;
    free((char *)*text);
    *text = mem_copy_text(value->valuestring);
    return true;
}

static bool take_rights(const cJSON *value, uint8_t *rights)
{
    static const char *const names[] = { "store", "find", "move", "get", "commit", "worklist" };
    const cJSON *name;
    *rights = 0;
    if (!cJSON_IsArray(value))
        return false;
    cJSON_ArrayForEach(name, value)
    {
        size_t i = 0;
        while (i < 6 && !(cJSON_IsString(name) && !strcmp(name->valuestring, names[i])))
            i++;
        if (i == 6)
            return false;
        *rights |= (uint8_t)(1 << i);
    }
    return true;
}

static bool take_list(const cJSON *value, bool (*is_valid)(const char *text),
                      const char *const **list)
{
    const cJSON *text;
    size_t count = 0;
    if (!cJSON_IsArray(value) || *list)
        return false;
    cJSON_ArrayForEach(text, value)
    {
        if (!cJSON_IsString(text) || !is_valid(text->valuestring))
            return false;
        count++;
    }
    const char **copy = mem_alloc_array(count + 1, sizeof(*copy));
    count = 0;
    cJSON_ArrayForEach(text, value) copy[count++] = mem_copy_text(text->valuestring);
    *list = copy;
    return true;
}

static bool take_count(const cJSON *value, double maximum, double *count)
{
    *count = value->valuedouble;
    return cJSON_IsNumber(value) && *count >= 1 && *count <= maximum && *count == floor(*count);
}

static bool take_peer_member(const cJSON *value, struct peer *peer, struct error *err)
{
    const char *key = value->string;
    const char *takes = NULL;
    double count = 0;
    if (!strcmp(key, "aeTitle")) {
        takes = take_text(value, &peer->ae_title) ? NULL : "a text";
    } else if (!strcmp(key, "host")) {
        takes = take_text(value, &peer->host) ? NULL : "a name or address";
    } else if (!strcmp(key, "port")) {
        takes = cJSON_IsNumber(value) && to_port(value->valuedouble, &peer->port) ? NULL
                                                                                  : "1 to 65535";
    } else if (!strcmp(key, "tls")) {
        takes = cJSON_IsBool(value) ? NULL : "true or false";
        peer->tls = cJSON_IsTrue(value);
    } else if (!strcmp(key, "certificate")) {
        takes = take_text(value, &peer->certificate) ? NULL : "a fingerprint or subject";
    } else if (!strcmp(key, "rights")) {
        takes = take_rights(value, &peer->rights)
                    ? NULL
                    : "a list of store, find, move, get, commit and worklist";
    } else if (!strcmp(key, "characterSet")) {
        takes = take_text(value, &peer->character_set) ? NULL : "a text";
    } else if (!strcmp(key, "transferSyntaxes")) {
        takes = take_list(value, uid_is_valid, &peer->transfer_syntaxes) ? NULL : "a list of UIDs";
    } else if (!strcmp(key, "async")) {
        takes = take_count(value, 1000, &count) ? NULL : "1 to 1000";
        peer->operations = (uint16_t)count;
    } else if (!strcmp(key, "maxAssociations")) {
        takes = take_count(value, 10000, &count) ? NULL : "1 to 10000";
        peer->association_limit = (unsigned)count;
    } else {
        return error_set(err, ERROR_INVALID, "unknown key \"%s\"", key);
    }
    return !takes || error_set(err, ERROR_INVALID, "%s takes %s", key, takes);
}

static bool apply_peers(struct settings *settings, const struct setting *setting,
                        const cJSON *value, struct error *err)
{
    const cJSON *object;
    const cJSON *member;
    cJSON_ArrayForEach(object, value)
    {
        struct peer peer = { .rights = RIGHT_ALL };
        bool ok = cJSON_IsObject(object) ||
                  error_set(err, ERROR_INVALID, "takes a list of objects");
        if (ok)
            cJSON_ArrayForEach(member, object) ok = ok && take_peer_member(member, &peer, err);
        if (ok && !peer.ae_title)
            ok = error_set(err, ERROR_INVALID, "a peer has no aeTitle");
        if (!ok)
            free_peer(&peer);
        if (!ok || !add_peer_take(settings, peer, err))
            return error_add_context(err, "%s", setting->key);
    }
    return true;
}

static void free_user(struct user *user)
{
    free((char *)user->name);
    free((char *)user->passcode);
}

static bool take_user(const cJSON *object, struct user *user, struct error *err)
{
    const cJSON *member;
    bool ok = cJSON_IsObject(object);
    cJSON_ArrayForEach(member, object)
    {
        const char *key = member->string ? member->string : "";
        if (!strcmp(key, "name"))
            ok = ok && take_text(member, &user->name);
        else if (!strcmp(key, "passcode"))
            ok = ok && take_text(member, &user->passcode);
        else if (!strcmp(key, "rights"))
            ok = ok && take_rights(member, &user->rights);
        else
            ok = false;
    }
    return (ok && user->name && *user->name && strlen(user->name) < USER_NAME_SIZE) ||
           error_set(err, ERROR_INVALID,
                     "takes a list of { \"name\": text, \"passcode\": text, \"rights\": list }");
}

static bool apply_users(struct settings *settings, const struct setting *setting,
                        const cJSON *value, struct error *err)
{
    const cJSON *object;
    cJSON_ArrayForEach(object, value)
    {
        struct user user = { .rights = RIGHT_ALL };
        bool ok = take_user(object, &user, err);
        if (ok && settings->user_count == SETTINGS_MAX_USERS)
            ok = error_set(err, ERROR_LIMIT, "more than %d users", SETTINGS_MAX_USERS);
        for (size_t i = 0; ok && i < settings->user_count; i++)
            if (!strcmp(settings->users[i].name, user.name))
                ok = error_set(err, ERROR_INVALID, "user %s is given twice", user.name);
        if (!ok) {
            free_user(&user);
            return error_add_context(err, "%s", setting->key);
        }
        settings->users[settings->user_count++] = user;
    }
    return true;
}

static void free_list(const char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        free((char *)list[i]);
    free((void *)list);
}

static void free_rule(struct forward_rule *rule)
{
    free((char *)rule->to);
    free_list(rule->modalities);
    free_list(rule->calling_ae_titles);
}

/* Code String (PS3.5 6.2). */
static bool is_modality(const char *text)
{
    size_t size = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_ ");
    return size && size <= 16 && !text[size];
}

static bool take_rule(const cJSON *object, struct forward_rule *rule, struct error *err)
{
    const cJSON *member;
    bool ok = cJSON_IsObject(object);
    cJSON_ArrayForEach(member, object)
    {
        const char *key = member->string ? member->string : "";
        if (!strcmp(key, "to"))
            ok = ok && take_text(member, &rule->to);
        else if (!strcmp(key, "modalities"))
            ok = ok && take_list(member, is_modality, &rule->modalities);
        else if (!strcmp(key, "callingAe"))
            ok = ok && take_list(member, is_ae_title, &rule->calling_ae_titles);
        else
            ok = false;
    }
    return (ok && rule->to) ||
           error_set(err, ERROR_INVALID,
                     "takes a list of { \"to\": AE title, \"modalities\": list, "
                     "\"callingAe\": list }");
}

static bool apply_forwards(struct settings *settings, const struct setting *setting,
                           const cJSON *value, struct error *err)
{
    const cJSON *object;
    cJSON_ArrayForEach(object, value)
    {
        struct forward_rule rule = { .to = NULL };
        bool ok = take_rule(object, &rule, err);
        if (ok && settings->forward_rule_count == SETTINGS_MAX_FORWARDS)
            ok = error_set(err, ERROR_LIMIT, "more than %d rules", SETTINGS_MAX_FORWARDS);
        if (!ok) {
            free_rule(&rule);
            return error_add_context(err, "%s", setting->key);
        }
        settings->forward_rules[settings->forward_rule_count++] = rule;
    }
    return true;
}

static void free_coercion(struct coercion_rule *rule)
{
    for (const char *const *title = rule->calling_ae_titles; title && *title; title++)
        free((char *)*title);
    free((void *)rule->calling_ae_titles);
    free((char *)rule->set);
    free((char *)rule->prefix);
}

static bool take_coercion(const cJSON *object, struct coercion_rule *rule)
{
    const cJSON *member;
    bool ok = cJSON_IsObject(object);
    cJSON_ArrayForEach(member, object)
    {
        const char *key = member->string ? member->string : "";
        if (!strcmp(key, "attribute")) {
            const struct dictionary_entry *entry =
                cJSON_IsString(member) ? dictionary_find_keyword(member->valuestring) : NULL;
            ok = ok && entry && coercion_is_possible(entry->tag);
            rule->tag = entry ? entry->tag : 0;
        } else if (!strcmp(key, "set")) {
            ok = ok && take_text(member, &rule->set);
        } else if (!strcmp(key, "prefix")) {
            ok = ok && take_text(member, &rule->prefix);
        } else if (!strcmp(key, "ifEmpty")) {
            ok = ok && cJSON_IsBool(member);
            rule->if_empty = cJSON_IsTrue(member);
        } else if (!strcmp(key, "callingAe")) {
            ok = ok && take_list(member, is_ae_title, &rule->calling_ae_titles);
        } else {
            ok = false;
        }
    }
    return ok && rule->tag && !rule->set != !rule->prefix && !(rule->prefix && rule->if_empty);
}

static bool apply_coercions(struct settings *settings, const cJSON *value, struct error *err)
{
    const cJSON *object;
    cJSON_ArrayForEach(object, value)
    {
        struct coercion_rule rule = { .tag = 0 };
        bool ok = take_coercion(object, &rule) ||
                  error_set(
                      err, ERROR_INVALID,
                      "store.coerce takes a list of { \"attribute\": keyword of a short text, "
                      "\"set\" or \"prefix\": text, \"ifEmpty\": true or false (with set), "
                      "\"callingAe\": list }");
        if (ok && settings->coercion_count == COERCION_RULES_MAX)
            ok = error_set(err, ERROR_LIMIT, "store.coerce: more than %d rules",
                           COERCION_RULES_MAX);
        if (!ok) {
            free_coercion(&rule);
            return false;
        }
        settings->coercions[settings->coercion_count++] = rule;
    }
    return true;
}

static bool check_forwards(const struct settings *settings, struct error *err)
{
    for (size_t i = 0; i < settings->forward_rule_count; i++) {
        const char *to = settings->forward_rules[i].to;
        bool found = false;
        for (size_t j = 0; j < settings->peer_count; j++)
            found |= !strcmp(settings->peers[j].ae_title, to) && settings->peers[j].host &&
                     settings->peers[j].port;
        if (!found)
            return error_set(err, ERROR_INVALID,
                             "dimse.forward: %.32s is no peer with a host and a port", to);
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
    case PEERS:
    case USERS:
    case FORWARDS:
    case COERCIONS:
        if (!cJSON_IsArray(value))
            return error_set(err, ERROR_INVALID, "%s takes a list", setting->key);
        return setting->type == PEERS       ? apply_peers(settings, setting, value, err)
               : setting->type == USERS     ? apply_users(settings, setting, value, err)
               : setting->type == COERCIONS ? apply_coercions(settings, value, err)
               : setting->type == FORWARDS  ? apply_forwards(settings, setting, value, err)
                                            : apply_list(settings, setting, value, err);
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
        return parse_peer(settings, value, err);
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

static bool is_address(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

static bool is_web_url(const char *text)
{
    size_t size = strlen(text);
    return (!strncmp(text, "http://", 7) || !strncmp(text, "https://", 8)) && text[size - 1] != '/';
}

static bool is_prefix(const char *text)
{
    size_t size = strlen(text);
    return size > 1 && text[0] == '/' && text[size - 1] != '/';
}

static bool check_addresses(const struct settings *settings, struct error *err)
{
    if (!is_address(settings->bind))
        return error_set(err, ERROR_INVALID, "bind: \"%s\" is no IPv4 or IPv6 address",
                         settings->bind);
    if (settings->dimse_port != floor(settings->dimse_port) ||
        settings->http_port != floor(settings->http_port))
        return error_set(err, ERROR_INVALID, "ports are whole numbers");
    if (settings->dimse_tls_port != floor(settings->dimse_tls_port) ||
        (settings->dimse_tls_port && (settings->dimse_tls_port == settings->dimse_port ||
                                      settings->dimse_tls_port == settings->http_port)))
        return error_set(err, ERROR_INVALID, "dimse.tlsPort must be a port of its own, or 0");
    if (settings->require_user && !settings->user_count)
        return error_set(err, ERROR_INVALID, "dimse.requireUser needs dimse.users");
    if (!*settings->tls_certificate != !*settings->tls_key)
        return error_set(err, ERROR_INVALID, "dimse.tlsCertificate and dimse.tlsKey go together");
    if (settings->dimse_tls_port && !*settings->tls_certificate)
        return error_set(err, ERROR_INVALID, "dimse.tlsPort needs dimse.tlsCertificate and tlsKey");
    if (settings->dimse_port == settings->http_port)
        return error_set(err, ERROR_INVALID, "dimse.port and http.port are the same");
    if (*settings->base_url && !is_web_url(settings->base_url))
        return error_set(err, ERROR_INVALID,
                         "http.baseUrl must begin with http:// or https:// and end without a "
                         "slash, not \"%s\"",
                         settings->base_url);
    if (*settings->fhir_url && strncmp(settings->fhir_url, "http://", 7) &&
        strncmp(settings->fhir_url, "https://", 8))
        return error_set(err, ERROR_INVALID,
                         "fhir.url (--fhir-url) must begin with http:// or https://");
    if (!is_prefix(settings->dicomweb_prefix) || !is_prefix(settings->fhir_prefix))
        return error_set(err, ERROR_INVALID,
                         "dicomweb.prefix and fhir.prefix begin with a slash and end without one");
    if (!strcmp(settings->dicomweb_prefix, settings->fhir_prefix))
        return error_set(err, ERROR_INVALID, "dicomweb.prefix and fhir.prefix are the same");
    return true;
}

static bool check_http(const struct settings *settings, struct error *err)
{
    double port = settings->http_tls_port;
    bool of_its_own = port != settings->http_port && port != settings->dimse_port &&
                      port != settings->dimse_tls_port;
    if (port && (port != floor(port) || !of_its_own))
        return error_set(err, ERROR_INVALID, "http.tlsPort must be a port of its own, or 0");
    if (!*settings->http_tls_certificate != !*settings->http_tls_key)
        return error_set(err, ERROR_INVALID, "http.tlsCertificate and http.tlsKey go together");
    if (port && !*settings->http_tls_certificate && !*settings->tls_certificate)
        return error_set(err, ERROR_INVALID, "http.tlsPort needs http.tlsCertificate and tlsKey");
    if (strcmp(settings->forwarded_header, "X-Forwarded") &&
        strcmp(settings->forwarded_header, "Forwarded"))
        return error_set(err, ERROR_INVALID,
                         "http.forwardedHeader must be X-Forwarded or Forwarded");
    return true;
}

/* PS3.7 C.5.8, or one of the statuses of C-STORE itself (PS3.4 B.2.3). */
static bool is_conflict_status(const char *text)
{
    if (strlen(text) != 4 || strspn(text, "0123456789ABCDEFabcdef") != 4)
        return false;
    unsigned long code = strtoul(text, NULL, 16);
    return code == 0x0111 || code == 0xA900 || code >> 12 == 0xC;
}

static bool check(struct settings *settings, struct error *err)
{
    static const char *const levels[] = { "error", "warn", "info", "debug" };
    bool known = false;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        known |= !strcmp(settings->log, levels[i]);
    if (!known)
        return error_set(err, ERROR_INVALID, "log must be error, warn, info or debug");
    if (!is_ae_title(settings->ae_title))
        return error_set(err, ERROR_INVALID,
                         "dimse.aeTitle: \"%s\" is no AE title (1 to 16 "
                         "characters, no backslash)",
                         settings->ae_title);
    if (!*settings->data_directory)
        return error_set(err, ERROR_INVALID, "data.directory is empty");
    if (strcmp(settings->on_conflict, "keep-first") && strcmp(settings->on_conflict, "replace"))
        return error_set(err, ERROR_INVALID, "store.onConflict must be keep-first or replace");
    if (!is_conflict_status(settings->conflict_status))
        return error_set(err, ERROR_INVALID,
                         "store.conflictStatus must be 0111, A900, or C000 to CFFF");
    if (settings->bearer_token[0] && settings->user[0])
        return error_set(err, ERROR_INVALID, "fhir.bearerToken and fhir.user: give one of them");
    return check_addresses(settings, err) && check_http(settings, err) &&
           check_forwards(settings, err);
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
    if (!check(settings, err))
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
    clear_list(&settings->refused_sop_classes);
    clear_list(&settings->cors_origins);
    clear_list(&settings->trusted_proxies);
    for (size_t i = 0; i < settings->peer_count; i++)
        free_peer(&settings->peers[i]);
    for (size_t i = 0; i < settings->user_count; i++)
        free_user(&settings->users[i]);
    for (size_t i = 0; i < settings->forward_rule_count; i++)
        free_rule(&settings->forward_rules[i]);
    for (size_t i = 0; i < settings->coercion_count; i++)
        free_coercion(&settings->coercions[i]);
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
