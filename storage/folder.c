/* SPDX-License-Identifier: MIT */
#include "storage/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.size) {
        ssize_t size = write(fd, bytes.data, bytes.size);
        if (size < 0 && errno == EINTR)
            continue;
        if (size <= 0)
            return false;
        bytes = slice_skip(bytes, (size_t)size);
    }
    return true;
}

bool folder_replace_file(int folder_fd, const char *name, struct slice bytes, struct error *err)
{
    char fresh[64];
    snprintf(fresh, sizeof(fresh), "%s.new", name);
    int fd = openat(folder_fd, fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return error_set_errno(err, errno, "%s", fresh);
    bool ok = write_all(fd, bytes) && fsync(fd) == 0 &&
              renameat(folder_fd, fresh, folder_fd, name) == 0;
    if (!ok) {
        error_set_errno(err, errno, "%s", fresh);
        unlinkat(folder_fd, fresh, 0);
    } else if (fsync(folder_fd) != 0) {
        ok = error_set_errno(err, errno, "%s", name);
    }
    close(fd);
    return ok;
}

/* A folder is there after a power cut only if its name is durable too. */
static bool sync_parent(const char *path)
{
    char parent[PATH_SIZE];
    snprintf(parent, sizeof(parent), "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    int fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    close(fd);
    return ok;
}

bool folder_make(const char *path, struct error *err)
{
    char part[PATH_SIZE];
    size_t size = strlen(path);
    if (!size || size >= sizeof(part) - 64)
        return error_set(err, ERROR_INVALID, "the directory has no usable path");
    for (size_t i = 1; i <= size; i++) {
        if ((path[i] != '/' && path[i] != '\0') || path[i - 1] == '/')
            continue;
        memcpy(part, path, i);
        part[i] = '\0';
        bool made = mkdir(part, 0750) == 0;
        if ((!made && errno != EEXIST) || (made && !sync_parent(part)))
            return error_set_errno(err, errno, "%.100s", part);
    }
    return true;
}

bool folder_open_in(int folder_fd, const char *name, bool make, int *fd, struct error *err)
{
    bool made = make && mkdirat(folder_fd, name, 0750) == 0;
    *fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd >= 0 && (!made || fsync(folder_fd) == 0))
        return true;
    return error_set_errno(err, errno, "%s", name);
}

bool folder_sync(int folder_fd, struct error *err)
{
    return fsync(folder_fd) == 0 || error_set_errno(err, errno, "a folder cannot be made durable");
}

bool folder_each(int folder_fd, bool (*visit)(void *context, const char *name, struct error *err),
                 void *context, struct error *err)
{
    bool ok = true;
    struct dirent *entry;
    int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        error_set_errno(err, errno, "a folder cannot be read");
        if (fd >= 0)
            close(fd);
        return false;
    }
    while (ok && (errno = 0, entry = readdir(folder))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = visit(context, entry->d_name, err);
    }
    if (ok && errno)
        ok = error_set_errno(err, errno, "a folder cannot be read");
    closedir(folder);
    return ok;
}

struct search {
    const char *const *known;
    char *name;
};

static bool look_for_other(void *context, const char *name, struct error *err)
{
    const struct search *search = context;
    (void)err;
    if (search->name[0] || strcmp(name, "lost+found") == 0)
        return true;
    for (const char *const *known = search->known; *known; known++)
        if (strcmp(name, *known) == 0)
            return true;
    snprintf(search->name, FOLDER_NAME_SIZE, "%.*s", FOLDER_NAME_SIZE - 1, name);
    return true;
}

bool folder_find_other(int folder_fd, const char *const *known, char name[FOLDER_NAME_SIZE],
                       struct error *err)
{
    struct search search = { known, name };
    name[0] = '\0';
    return folder_each(folder_fd, look_for_other, &search, err);
}

static bool remove_file(void *context, const char *name, struct error *err)
{
    int fd = *(const int *)context;
    return unlinkat(fd, name, 0) == 0 || error_set_errno(err, errno, "%.100s", name);
}

bool folder_remove(int folder_fd, const char *name, struct error *err)
{
    int fd = openat(folder_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0)
        return error_set_errno(err, errno, "%s", name);
    bool ok = folder_each(fd, remove_file, &fd, err);
    close(fd);
    if (ok && unlinkat(folder_fd, name, AT_REMOVEDIR) != 0)
        ok = error_set_errno(err, errno, "%s", name);
    return ok;
}

bool folder_lock(int folder_fd, const char *name, bool shared, int *fd, struct error *err)
{
    int mode = shared ? O_RDONLY : O_RDWR | O_CREAT;
    *fd = openat(folder_fd, name, mode | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0640);
    if (*fd < 0)
        return error_set_errno(err, errno, "%s", name);
    if (flock(*fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
        return true;
    if (errno == EWOULDBLOCK)
        return error_set(err, ERROR_BUSY, "in use by another process");
    return error_set_errno(err, errno, "%s", name);
}
