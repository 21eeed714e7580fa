/* SPDX-License-Identifier: MIT */
#include "http/login.h"

#include <crypt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/memory.h"

enum {
    CREDENTIALS_LIMIT = 1024,
    SALT_SIZE = 16,
    WAITING_MAX = 64,            /* for their turn to be hashed */
    WAITING_MAX_PER_ADDRESS = 8, /* so that a guesser makes others wait for so many, and no more */
};

struct entry {
    struct http_user user;
    bool has_token;
    uint8_t token[DIGEST_SIZE];
    /* A password is hashed slowly on purpose; what was right once is right again. */
    bool remembers;              /* guarded by lock */
    uint8_t digest[DIGEST_SIZE]; /* of salt and password; guarded by lock */
};

struct waiting {
    struct address client;
    unsigned count; /* 0: the place is free */
};

struct login {
    atomic_uint holders;
    struct entry *entries;
    size_t count;
    uint8_t salt[SALT_SIZE];
    const char *nobodys_hash; /* for names that nobody has */
    pthread_mutex_t hashing;  /* guessers share one processor; taken before lock */
    struct crypt_data *crypt; /* guarded by hashing */
    pthread_mutex_t lock;
    struct waiting waiting[WAITING_MAX]; /* guarded by lock */
    unsigned waiting_count;              /* guarded by lock */
};

struct login *login_new(const struct http_user *users, size_t count)
{
    struct login *login = mem_alloc(sizeof(*login));
    login->entries = mem_alloc_array(count ? count : 1, sizeof(login->entries[0]));
    login->count = count;
    login->crypt = mem_alloc(sizeof(*login->crypt));
    atomic_init(&login->holders, 1);
    pthread_mutex_init(&login->hashing, NULL);
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
        if (!login->nobodys_hash)
            login->nobodys_hash = entry->user.password_hash;
    }
    return login;
}

struct login *login_hold(struct login *login)
{
    atomic_fetch_add_explicit(&login->holders, 1, memory_order_relaxed);
    return login;
}

void login_free(struct login *login)
{
    if (!login || atomic_fetch_sub_explicit(&login->holders, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < login->count; i++) {
        free((char *)(uintptr_t)login->entries[i].user.name);
        free((char *)(uintptr_t)login->entries[i].user.password_hash);
    }
    free(login->entries);
    explicit_bzero(login->crypt, sizeof(*login->crypt));
    free(login->crypt);
    pthread_mutex_destroy(&login->lock);
    pthread_mutex_destroy(&login->hashing);
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

/* In a time that does not depend on where they differ. */
static bool is_same(const char *a, const char *b)
{
    size_t size = strlen(a);
    unsigned differ = 0;
    if (size != strlen(b))
        return false;
    for (size_t i = 0; i < size; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return !differ;
}

static struct waiting *place_of(struct login *login, const struct address *client)
{
    struct waiting *place = NULL;
    for (size_t i = 0; i < WAITING_MAX; i++) {
        struct waiting *waiting = &login->waiting[i];
        if (waiting->count && address_equal(&waiting->client, client))
            return waiting;
        if (!waiting->count && !place)
            place = waiting;
    }
    return place;
}

static bool remembers(const struct entry *entry, const uint8_t digest[DIGEST_SIZE])
{
    return entry && entry->remembers && digest_equal(digest, entry->digest);
}

static enum login_result begin_to_wait(struct login *login, const struct entry *entry,
                                       const uint8_t digest[DIGEST_SIZE],
                                       const struct address *client)
{
    enum login_result result = LOGIN_FOUND;
    pthread_mutex_lock(&login->lock);
    if (!remembers(entry, digest)) {
        struct waiting *place = place_of(login, client);
        result = LOGIN_BUSY;
        if (place && place->count < WAITING_MAX_PER_ADDRESS && login->waiting_count < WAITING_MAX) {
            place->client = *client;
            place->count++;
            login->waiting_count++;
            result = LOGIN_NONE;
        }
    }
    pthread_mutex_unlock(&login->lock);
    return result;
}

/* With the turn to hash. A name that nobody has costs as much time as a wrong password. */
static bool is_right(struct login *login, struct entry *entry, const char *password,
                     const uint8_t digest[DIGEST_SIZE])
{
    pthread_mutex_lock(&login->lock);
    bool known = remembers(entry, digest); /* by who came before, with the same password */
    pthread_mutex_unlock(&login->lock);
    if (known)
        return true;
    bool own = entry && entry->user.password_hash;
    const char *hash = own ? entry->user.password_hash : login->nobodys_hash;
    const char *made = hash ? crypt_r(password, hash, login->crypt) : NULL;
    return made && is_same(made, hash) && own;
}

static void end_waiting(struct login *login, struct entry *entry, bool right,
                        const uint8_t digest[DIGEST_SIZE], const struct address *client)
{
    pthread_mutex_lock(&login->lock);
    if (right) {
        entry->remembers = true;
        memcpy(entry->digest, digest, DIGEST_SIZE);
    }
    place_of(login, client)->count--;
    login->waiting_count--;
    pthread_mutex_unlock(&login->lock);
}

static enum login_result find_password(struct login *login, char *credentials,
                                       const struct address *client, struct entry **found)
{
    struct entry *entry = NULL;
    uint8_t digest[DIGEST_SIZE];
    char *password = strchr(credentials, ':');
    if (!password)
        return LOGIN_NONE;
    *password++ = '\0';
    for (size_t i = 0; i < login->count && !entry; i++)
        if (strcmp(login->entries[i].user.name, credentials) == 0)
            entry = &login->entries[i];
    digest_password(login, password, digest);
    enum login_result result = begin_to_wait(login, entry, digest, client);
    if (result == LOGIN_NONE) {
        pthread_mutex_lock(&login->hashing);
        bool right = is_right(login, entry, password, digest);
        pthread_mutex_unlock(&login->hashing);
        end_waiting(login, entry, right, digest, client);
        result = right ? LOGIN_FOUND : LOGIN_NONE;
    }
    *found = entry;
    return result;
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

enum login_result login_find(struct login *login, const char *authorization,
                             const struct address *client, const struct http_user **user)
{
    struct entry *entry = NULL;
    enum login_result result = LOGIN_NONE;
    char credentials[CREDENTIALS_LIMIT];
    if (!authorization)
        return LOGIN_NONE;
    size_t scheme = strcspn(authorization, " ");
    const char *rest = authorization + scheme;
    rest += strspn(rest, " ");
    if (scheme == 5 && strncasecmp(authorization, "Basic", scheme) == 0) {
        if (decode(rest, credentials))
            result = find_password(login, credentials, client, &entry);
        explicit_bzero(credentials, sizeof(credentials));
    } else if (scheme == 6 && strncasecmp(authorization, "Bearer", scheme) == 0) {
        entry = find_token(login, rest);
        result = entry ? LOGIN_FOUND : LOGIN_NONE;
    }
    if (result != LOGIN_FOUND)
        return result;
    if (entry->user.expires_ms && clock_unix_ms() >= entry->user.expires_ms)
        return LOGIN_NONE;
    *user = &entry->user;
    return LOGIN_FOUND;
}
