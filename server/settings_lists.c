/* SPDX-License-Identifier: MIT */
/* Peers, users and rules: lists of objects. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "dicom/tag.h"
#include "dicom/uid.h"
#include "dimse/pdu.h"
#include "server/settings_parts.h"

bool settings_is_ae_title(const char *text)
{
    size_t size = strlen(text);
    if (!size || size > 16 || text[0] == ' ' || text[size - 1] == ' ')
        return false;
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f || *c == '\\')
            return false;
    return true;
}

static void free_list(const char *const *list)
{
    for (size_t i = 0; list && list[i]; i++)
        free((char *)list[i]);
    free((void *)list);
}

static void free_peer(struct peer *peer)
{
    free((char *)peer->ae_title);
    free((char *)peer->host);
    free((char *)peer->certificate);
    free((char *)peer->character_set);
    free_list(peer->transfer_syntaxes);
    free_list(peer->destinations);
}

/* Checks a peer and takes it with all it points to. */
static bool add_peer_take(struct settings *settings, struct peer peer, struct error *err)
{
    if (!settings_is_ae_title(peer.ae_title)) {
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
bool settings_add_peer(struct settings *settings, const char *text, struct error *err)
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
    } else if (!strcmp(key, "destinations")) {
        takes = take_list(value, settings_is_ae_title, &peer->destinations) ? NULL
                                                                            : "a list of AE titles";
    } else if (!strcmp(key, "async")) {
        takes = take_count(value, 1000, &count) ? NULL : "1 to 1000";
        peer->operations = (uint16_t)count;
    } else if (!strcmp(key, "associations")) {
        takes = take_count(value, MOVE_LANES, &count) ? NULL : "1 to 16";
        peer->associations = (unsigned)count;
    } else if (!strcmp(key, "maxAssociations")) {
        takes = take_count(value, 10000, &count) ? NULL : "1 to 10000";
        peer->association_limit = (unsigned)count;
    } else {
        return error_set(err, ERROR_INVALID, "unknown key \"%s\"", key);
    }
    return !takes || error_set(err, ERROR_INVALID, "%s takes %s", key, takes);
}

bool settings_take_peers(struct settings *settings, const char *key, const cJSON *value,
                         struct error *err)
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
            return error_add_context(err, "%s", key);
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

bool settings_take_users(struct settings *settings, const char *key, const cJSON *value,
                         struct error *err)
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
            return error_add_context(err, "%s", key);
        }
        settings->users[settings->user_count++] = user;
    }
    return true;
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
            ok = ok && take_list(member, settings_is_ae_title, &rule->calling_ae_titles);
        else
            ok = false;
    }
    return (ok && rule->to) ||
           error_set(err, ERROR_INVALID,
                     "takes a list of { \"to\": AE title, \"modalities\": list, "
                     "\"callingAe\": list }");
}

bool settings_take_forwards(struct settings *settings, const char *key, const cJSON *value,
                            struct error *err)
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
            return error_add_context(err, "%s", key);
        }
        settings->forward_rules[settings->forward_rule_count++] = rule;
    }
    return true;
}

static void free_coercion(struct coercion_rule *rule)
{
    free_list(rule->calling_ae_titles);
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
            ok = ok && take_list(member, settings_is_ae_title, &rule->calling_ae_titles);
        } else {
            ok = false;
        }
    }
    return ok && rule->tag && !rule->set != !rule->prefix && !(rule->prefix && rule->if_empty);
}

bool settings_take_coercions(struct settings *settings, const char *key, const cJSON *value,
                             struct error *err)
{
    const cJSON *object;
    cJSON_ArrayForEach(object, value)
    {
        struct coercion_rule rule = { .tag = 0 };
        bool ok = take_coercion(object, &rule) ||
                  error_set(err, ERROR_INVALID,
                            "%s takes a list of { \"attribute\": keyword of a short text, "
                            "\"set\" or \"prefix\": text, \"ifEmpty\": true or false (with set), "
                            "\"callingAe\": list }",
                            key);
        if (ok && settings->coercion_count == COERCION_RULES_MAX)
            ok = error_set(err, ERROR_LIMIT, "%s: more than %d rules", key, COERCION_RULES_MAX);
        if (!ok) {
            free_coercion(&rule);
            return false;
        }
        settings->coercions[settings->coercion_count++] = rule;
    }
    return true;
}

/* A peer that we can open associations to? */
static bool is_called(const struct settings *settings, const char *ae_title)
{
    for (size_t i = 0; i < settings->peer_count; i++)
        if (strcmp(settings->peers[i].ae_title, ae_title) == 0)
            return settings->peers[i].host && settings->peers[i].port;
    return false;
}

static bool check_titles(const struct settings *settings, const struct text_list *titles,
                         const char *key, struct error *err)
{
    for (size_t i = 0; i < titles->count; i++) {
        if (!is_called(settings, titles->items[i]))
            return error_set(err, ERROR_INVALID, "%s: %.32s is no peer with a host and a port", key,
                             titles->items[i]);
    }
    return true;
}

bool settings_check_forwards(const struct settings *settings, struct error *err)
{
    for (size_t i = 0; i < settings->forward_rule_count; i++) {
        const char *to = settings->forward_rules[i].to;
        if (!is_called(settings, to))
            return error_set(err, ERROR_INVALID,
                             "dimse.forward: %.32s is no peer with a host and a port", to);
    }
    return check_titles(settings, &settings->availability_to, "dimse.notifyAvailability", err) &&
           check_titles(settings, &settings->performed_to, "dimse.notifyPerformed", err);
}

void settings_release_lists(struct settings *settings)
{
    for (size_t i = 0; i < settings->peer_count; i++)
        free_peer(&settings->peers[i]);
    for (size_t i = 0; i < settings->user_count; i++)
        free_user(&settings->users[i]);
    for (size_t i = 0; i < settings->forward_rule_count; i++)
        free_rule(&settings->forward_rules[i]);
    for (size_t i = 0; i < settings->coercion_count; i++)
        free_coercion(&settings->coercions[i]);
    settings_release_hl7(settings);
}
