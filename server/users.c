/* SPDX-License-Identifier: MIT */
#include "server/users.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buffer.h"
#include "base/digest.h"
#include "base/memory.h"

enum { FILE_LIMIT = 4 << 20 };

static void release_user(struct http_user *user)
{
    free((char *)(uintptr_t)user->name);
    free((char *)(uintptr_t)user->password_hash);
    free((char *)(uintptr_t)user->token_sha256);
}

void users_release(struct users *users)
{
    for (size_t i = 0; i < users->count; i++)
        release_user(&users->users[i]);
    free(users->users);
    memset(users, 0, sizeof(*users));
}

static bool is_name(const char *text)
{
    size_t size = strlen(text);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        if (*c < 0x20 || *c == 0x7f || *c == ':')
            return false;
    return size && size < HTTP_USER_SIZE;
}

/* "$6$..." and the like; plain passwords are not for files. */
static bool is_hash(const char *text)
{
    return text[0] == '$' && strchr(text + 1, '$') && strlen(text) > 20 && strlen(text) < 384;
}

static bool is_token(const char *text)
{
    uint8_t digest[DIGEST_SIZE];
    return digest_parse(text, digest);
}

static bool take_text(const cJSON *value, bool (*is_valid)(const char *), const char **text)
{
    if (!cJSON_IsString(value) || !is_valid(value->valuestring) || *text)
        return false;
    *text = mem_copy_text(value->valuestring);
    return true;
}

static bool take_rights(const cJSON *value, unsigned *rights)
{
    static const char *const names[] = { "read", "write", "delete", "admin" };
    const cJSON *name;
    if (!cJSON_IsArray(value))
        return false;
    cJSON_ArrayForEach(name, value)
    {
        size_t i = 0;
        while (i < 4 && !(cJSON_IsString(name) && !strcmp(name->valuestring, names[i])))
            i++;
        if (i == 4)
            return false;
        *rights |= 1u << i;
    }
    return true;
}

/* "2027-01-31T00:00:00Z" (RFC 3339, in UTC). */
static bool take_time(const cJSON *value, int64_t *unix_ms)
{
    struct tm utc = { 0 };
    if (!cJSON_IsString(value))
        return false;
    const char *end = strptime(value->valuestring, "%Y-%m-%dT%H:%M:%SZ", &utc);
    *unix_ms = (int64_t)timegm(&utc) * 1000;
    return end && !*end && *unix_ms > 0;
}

static bool take_member(const cJSON *value, struct http_user *user, struct error *err)
{
    const char *key = value->string;
    const char *takes = NULL;
    if (!strcmp(key, "name"))
        takes = take_text(value, is_name, &user->name) ? NULL : "1 to 64 characters, no colon";
    else if (!strcmp(key, "passwordHash"))
        takes = take_text(value, is_hash, &user->password_hash)
                    ? NULL
                    : "what `openssl passwd -6` or mkpasswd makes of a password";
    else if (!strcmp(key, "tokenSha256"))
        takes = take_text(value, is_token, &user->token_sha256)
                    ? NULL
                    : "the 64 digits that sha256sum makes of a token";
    else if (!strcmp(key, "expires"))
        takes = take_time(value, &user->expires_ms) ? NULL : "a time, 2027-01-31T00:00:00Z";
    else if (!strcmp(key, "rights"))
        takes = take_rights(value, &user->rights) ? NULL : "a list of read, write, delete, admin";
    else
        return error_set(err, ERROR_INVALID, "unknown key \"%.32s\"", key);
    return !takes || error_set(err, ERROR_INVALID, "%s takes %s", key, takes);
}

static bool take_user(const cJSON *object, struct users *users, struct error *err)
{
    struct http_user user = { 0 };
    const cJSON *member;
    bool ok = cJSON_IsObject(object) || error_set(err, ERROR_INVALID, "is no object");
    if (ok)
        cJSON_ArrayForEach(member, object) ok = ok && take_member(member, &user, err);
    if (ok && !user.name)
        ok = error_set(err, ERROR_INVALID, "has no name");
    if (ok && !user.password_hash && !user.token_sha256)
        ok = error_set(err, ERROR_INVALID, "has neither passwordHash nor tokenSha256");
    for (size_t i = 0; ok && i < users->count; i++)
        if (!strcmp(users->users[i].name, user.name))
            ok = error_set(err, ERROR_INVALID, "is there twice");
    if (!ok) {
        release_user(&user);
        return false;
    }
    users->users[users->count++] = user;
    return true;
}

static bool take_all(const cJSON *root, struct users *users, struct error *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "users");
    const cJSON *object;
    int number = 0;
    if (!cJSON_IsArray(list) || root->child != list || list->next)
        return error_set(err, ERROR_INVALID, "it holds { \"users\": [...] }");
    int count = cJSON_GetArraySize(list);
    if (count > USERS_MAX)
        return error_set(err, ERROR_LIMIT, "more than %d users", USERS_MAX);
    users->users = mem_alloc_array(count ? (size_t)count : 1, sizeof(users->users[0]));
    cJSON_ArrayForEach(object, list)
    {
        number++;
        if (!take_user(object, users, err))
            return error_add_context(err, "user %d", number);
    }
    return true;
}

static bool read_file(const char *path, struct buffer *text, struct error *err)
{
    char piece[4096];
    size_t size;
    FILE *file = fopen(path, "rbe");
    if (!file)
        return error_set_errno(err, errno, "cannot open %s", path);
    while ((size = fread(piece, 1, sizeof(piece), file)) > 0)
        if (!buffer_append(text, slice_of(piece, size)))
            break;
    bool failed = ferror(file);
    fclose(file);
    if (failed)
        return error_set(err, ERROR_IO, "cannot read %s", path);
    return buffer_check(text, path, err);
}

bool users_load(const char *path, struct users *users, struct error *err)
{
    struct buffer text = buffer_up_to(FILE_LIMIT);
    cJSON *root = NULL;
    memset(users, 0, sizeof(*users));
    bool ok = read_file(path, &text, err);
    if (ok) {
        root = cJSON_ParseWithOpts(buffer_text(&text), NULL, true);
        ok = (root && cJSON_IsObject(root)) || error_set(err, ERROR_INVALID, "it is no JSON");
        ok = ok && take_all(root, users, err);
        if (!ok)
            error_add_context(err, "http.usersFile: %s", path);
    }
    if (!ok)
        users_release(users);
    cJSON_Delete(root);
    buffer_release(&text);
    return ok;
}
