/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/settings_parts.h"

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
    if (strcmp(settings->fhir_version, "auto") && strcmp(settings->fhir_version, "R4") &&
        strcmp(settings->fhir_version, "R5"))
        return error_set(err, ERROR_INVALID, "fhir.version is auto, R4 or R5");
    if (strcmp(settings->cast_removal, "delete") && strcmp(settings->cast_removal, "cancelled") &&
        strcmp(settings->cast_removal, "entered-in-error"))
        return error_set(err, ERROR_INVALID,
                         "fhir.onRemoval is delete, cancelled or entered-in-error");
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
    if (*settings->viewer_directory && (!strcmp(settings->dicomweb_prefix, "/viewer") ||
                                        !strcmp(settings->fhir_prefix, "/viewer")))
        return error_set(err, ERROR_INVALID, "/viewer is where http.viewerDirectory is served");
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

bool settings_check(const struct settings *settings, struct error *err)
{
    static const char *const levels[] = { "error", "warn", "info", "debug" };
    bool known = false;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        known |= !strcmp(settings->log, levels[i]);
    if (!known)
        return error_set(err, ERROR_INVALID, "log must be error, warn, info or debug");
    if (strcmp(settings->tls_profile, "bcp195") && strcmp(settings->tls_profile, "bcp195-modified"))
        return error_set(err, ERROR_INVALID, "dimse.tlsProfile must be bcp195 or bcp195-modified");
    if (!settings_is_ae_title(settings->ae_title))
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
    if ((settings->bearer_token[0] || settings->bearer_token_file[0] ||
         settings->oauth_token_url[0]) &&
        settings->user[0])
        return error_set(err, ERROR_INVALID, "fhir.bearerToken and fhir.user: give one of them");
    return check_addresses(settings, err) && check_http(settings, err) &&
           settings_check_forwards(settings, err) && settings_check_hl7(settings, err);
}
