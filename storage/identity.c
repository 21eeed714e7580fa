/* SPDX-License-Identifier: MIT */
#include "storage/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "storage/folder.h"

enum { RANDOM_SIZE = 16, TEXT_SIZE = 256 };

bool identity_random(char text[IDENTITY_SIZE], struct error *err)
{
    unsigned char bytes[RANDOM_SIZE];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return error_set_errno(err, errno, "no random bytes");
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return true;
}

bool identity_is_valid(const char *text)
{
    return strspn(text, "0123456789abcdef") == IDENTITY_SIZE - 1 && !text[IDENTITY_SIZE - 1];
}

bool identity_save(int folder_fd, const struct identity_file *identity, struct error *err)
{
    char text[TEXT_SIZE];
    size_t size = (size_t)snprintf(text, sizeof(text), "archive %s\ndata %s\n", identity->archive,
                                   identity->data);
    if (identity->restored[0])
        size += (size_t)snprintf(text + size, sizeof(text) - size, "restored %s\n",
                                 identity->restored);
    return folder_replace_file(folder_fd, "ID", slice_of(text, size), err);
}

static bool parse(const char *text, struct identity_file *identity)
{
    int fields = sscanf(text, "archive %32s\ndata %32s\nrestored %32s", identity->archive,
                        identity->data, identity->restored);
    return fields >= 2 && identity_is_valid(identity->archive) &&
           identity_is_valid(identity->data) &&
           (fields == 2 || identity_is_valid(identity->restored));
}

bool identity_load(int folder_fd, struct identity_file *identity, struct error *err)
{
    char text[TEXT_SIZE] = "";
    *identity = (struct identity_file){ 0 };
    int fd = openat(folder_fd, "ID", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return identity_random(identity->archive, err) && identity_random(identity->data, err) &&
               identity_save(folder_fd, identity, err);
    if (fd < 0)
        return error_set_errno(err, errno, "ID");
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (size < 0 || !parse(text, identity))
        return error_set(err, ERROR_CORRUPT,
                         "the file ID of the data directory is not understood; without it the "
                         "server makes a new one, and backups begin anew");
    return true;
}
