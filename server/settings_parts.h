/* SPDX-License-Identifier: MIT */
#pragma once
/* Parts of settings.c: the lists of objects, and what must hold between settings. */

#include <cjson/cJSON.h>

#include "server/settings.h"

/* PS3.5 6.2 */
bool settings_is_ae_title(const char *text);

/* Adds "TITLE=HOST:PORT", where HOST may be an IPv6 address in brackets. */
bool settings_add_peer(struct settings *settings, const char *text, struct error *err);
/* The elements of a list are added; the key is for errors. */
bool settings_take_peers(struct settings *settings, const char *key, const cJSON *value,
                         struct error *err);
bool settings_take_users(struct settings *settings, const char *key, const cJSON *value,
                         struct error *err);
bool settings_take_forwards(struct settings *settings, const char *key, const cJSON *value,
                            struct error *err);
bool settings_take_coercions(struct settings *settings, const char *key, const cJSON *value,
                             struct error *err);
/* Those of a file take the place of all before. */
bool settings_take_hl7_peers(struct settings *settings, const char *key, const cJSON *value,
                             struct error *err);
bool settings_take_hl7_destinations(struct settings *settings, const char *key, const cJSON *value,
                                    struct error *err);
bool settings_take_hl7_mapping(struct settings *settings, const char *key, const cJSON *value,
                               struct error *err);
void settings_release_hl7(struct settings *settings);
/* Ports, peers, character set and mapping: what can be told without opening anything. */
bool settings_check_hl7(const struct settings *settings, struct error *err);
/* For hl7_server_open, borrowed from the settings. */
struct hl7_options settings_hl7_options(const struct settings *settings);
/* Each rule is for a peer that can be called. */
bool settings_check_forwards(const struct settings *settings, struct error *err);
void settings_release_lists(struct settings *settings);

/* What the table does not say. */
bool settings_check(const struct settings *settings, struct error *err);
