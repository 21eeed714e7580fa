/* SPDX-License-Identifier: MIT */
#include "http/login.h"

#include <crypt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/memory.h"

enum { CREDENTIALS_LIMIT = 1024, SALT_SIZE = 16 };

struct entry {
    struct http_user user;
    bool has_token;
    uint8_t token[DIGEST_SIZE];
    /* A password is hashed slowly on purpose; what was right once is right again. */
    bool remembers;              /* guarded by lock */
    uint8_t digest[DIGEST_SIZE]; /* of salt and password; guarded by lock */
};

struct login {
    struct entry *entries;
    size_t count;
    uint8_t salt[SALT_SIZE];
    pthread_mutex_t lock; /* held while a password is hashed: guessers share one processor */
    struct crypt_data *crypt;
};

struct login *login_new(const struct http_user *users, size_t count)
{
    struct login *login = mem_alloc(sizeof(*login));
    login->entries = mem_alloc_array(count ? count : 1, sizeof(login->entries[0]));
    login->count = count;
    login->crypt = mem_alloc(sizeof(*login->crypt));
    pthread_mutex_init(&login->lock, NULL);
    random_bytes(login->salt, sizeof(login->salt));
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = &login->entries[i];
        entry->user = users[i];
        entry->user.name = mem_copy_text(users[i].name);
        entry->user.password_hash = mem_copy_text(users[i].password_hash);
        entry->user.token_sha256 = NULL;
        entry->has_token = users[i].token_sha256 &&
                           digest_parse(users[i].token_sha256, entry->token);
    }
    return login;
}

void login_free(struct login *login)
{
    if (!login)
        return;
    for (size_t i = 0; i < login->count; i++) {
        free((char *)(uintptr_t)login->entries[i].user.name);
        free((char *)(uintptr_t)login->entries[i].user.password_hash);
    }
    free(login->entries);
    explicit_bzero(login->crypt, sizeof(*login->crypt));
    free(login->crypt);
    pthread_mutex_destroy(&login->lock);
    free(login);
}

/* --- Basic --- */

static int value_of(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                   "+/";
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* Base64 (RFC 4648 4) into a text without NUL; false when it is none. */
static bool decode(const char *text, char out[CREDENTIALS_LIMIT])
{
    size_t size = strlen(text);
    size_t used = 0;
    unsigned bits = 0;
    unsigned count = 0;
    while (size && text[size - 1] == '=')
        size--;
    for (size_t i = 0; i < size; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (unsigned)value;
        count += 6;
        if (count < 8)
            continue;
        count -= 8;
        if (used == CREDENTIALS_LIMIT - 1)
            return false;
        out[used] = (char)(bits >> count & 0xff);
        if (!out[used++])
            return false;
    }
    out[used] = '\0';
    return true;
}

static void digest_password(const struct login *login, const char *password,
                            uint8_t digest[DIGEST_SIZE])
{
    uint8_t text[SALT_SIZE + CREDENTIALS_LIMIT];
    size_t size = strnlen(password, CREDENTIALS_LIMIT - 1); /* it stands behind a colon */
    memcpy(text, login->salt, SALT_SIZE);
    memcpy(text + SALT_SIZE, password, size);
    digest_sha256(slice_of(text, SALT_SIZE + size), digest);
    explicit_bzero(text, sizeof(text));
}

/* With the lock. A name that nobody has costs as much time as a wrong password. */
static bool is_right(struct login *login, const struct entry *entry, const char *password)
{
    static const char nobody[] = "$6$nobodynobody$";
    const char *hash = entry && entry->user.password_hash ? entry->user.password_hash : nobody;
    const char *made = crypt_r(password, hash, login->crypt);
    return made && entry && entry->user.password_hash && strcmp(made, hash) == 0;
}

static struct entry *find_password(struct login *login, char *credentials)
{
    struct entry *entry = NULL;
    uint8_t digest[DIGEST_SIZE];
    char *password = strchr(credentials, ':');
    if (!password)
        return NULL;
    *password++ = '\0';
    for (size_t i = 0; i < login->count && !entry; i++)
        if (strcmp(login->entries[i].user.name, credentials) == 0)
            entry = &login->entries[i];
    digest_password(login, password, digest);
    pthread_mutex_lock(&login->lock);
    bool right = entry && entry->remembers && digest_equal(digest, entry->digest);
    if (!right) {
        right = is_right(login, entry, password);
        if (right) {
            entry->remembers = true;
            memcpy(entry->digest, digest, sizeof(digest));
        }
    }
    pthread_mutex_unlock(&login->lock);
    return right ? entry : NULL;
}

/* --- Bearer --- */

static struct entry *find_token(struct login *login, const char *token)
{
    struct entry *found = NULL;
    uint8_t digest[DIGEST_SIZE];
    size_t size = strlen(token);
    if (!size || size > CREDENTIALS_LIMIT)
        return NULL;
    digest_sha256(slice_of(token, size), digest);
    for (size_t i = 0; i < login->count; i++)
        if (login->entries[i].has_token && digest_equal(digest, login->entries[i].token))
            found = &login->entries[i];
    return found;
}

const struct http_user *login_find(struct login *login, const char *authorization)
{
    struct entry *entry = NULL;
    char credentials[CREDENTIALS_LIMIT];
    if (!authorization)
        return NULL;
    size_t scheme = strcspn(authorization, " ");
    const char *rest = authorization + scheme;
    rest += strspn(rest, " ");
    if (scheme == 5 && strncasecmp(authorization, "Basic", scheme) == 0) {
        if (decode(rest, credentials))
            entry = find_password(login, credentials);
        explicit_bzero(credentials, sizeof(credentials));
    } else if (scheme == 6 && strncasecmp(authorization, "Bearer", scheme) == 0) {
        entry = find_token(login, rest);
    }
    if (!entry || (entry->user.expires_ms && clock_unix_ms() >= entry->user.expires_ms))
        return NULL;
    return &entry->user;
}
