/* SPDX-License-Identifier: MIT */
#include "storage/index_swap.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"

enum { PATH_SIZE = 4096, OLD_MAX = 100, OPEN_FOLDERS = 8 };

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

bool index_swap_clear(const char *path, struct error *err)
{
    char folder[PATH_SIZE];
    snprintf(folder, sizeof(folder), "%s/" INDEX_NEW_FOLDER, path);
    if (nftw(folder, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return true;
    return error_set_errno(err, errno, "%.100s", folder);
}

static bool sync_file(int folder_fd, const char *name, struct error *err)
{
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (!ok)
        error_set_errno(err, errno, INDEX_NEW_FOLDER "/%.100s", name);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Whatever the database itself has made durable: before it takes the place of the old one, all of
 * it must be, names too. */
static bool sync_all(const char *path, struct error *err)
{
    char name[PATH_SIZE];
    bool ok = true;
    snprintf(name, sizeof(name), "%s/" INDEX_NEW_FOLDER, path);
    DIR *folder = opendir(name);
    if (!folder)
        return error_set_errno(err, errno, "%.100s", name);
    for (struct dirent *entry; ok && (errno = 0, (entry = readdir(folder)));)
        if (entry->d_type != DT_DIR)
            ok = sync_file(dirfd(folder), entry->d_name, err);
    if (ok && (errno || fsync(dirfd(folder)) != 0))
        ok = error_set_errno(err, errno, "%.100s", name);
    closedir(folder);
    return ok;
}

/* Under a name that is free. */
static bool put_old_away(int folder_fd, struct error *err)
{
    char stamp[32];
    char name[64];
    struct tm utc;
    time_t now = time(NULL);
    gmtime_r(&now, &utc);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &utc);
    for (int i = 1; i <= OLD_MAX; i++) {
        snprintf(name, sizeof(name), i == 1 ? INDEX_FOLDER ".old-%s" : INDEX_FOLDER ".old-%s-%d",
                 stamp, i);
        if (faccessat(folder_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        if (renameat(folder_fd, INDEX_FOLDER, folder_fd, name) == 0) {
            log_info("storage: the index that was there is kept as %s", name);
            return true;
        }
        if (errno == ENOENT)
            return true; /* there was none */
        break;
    }
    return error_set_errno(err, errno, INDEX_FOLDER " cannot be renamed");
}

bool index_swap_install(const char *path, int folder_fd, struct error *err)
{
    if (!sync_all(path, err))
        return false;
    FAULT_POINT("rebuild_before_swap");
    if (!put_old_away(folder_fd, err))
        return false;
    FAULT_POINT("rebuild_between_renames");
    if (renameat(folder_fd, INDEX_NEW_FOLDER, folder_fd, INDEX_FOLDER) != 0)
        return error_set_errno(err, errno, INDEX_NEW_FOLDER " cannot be renamed");
    FAULT_POINT("rebuild_after_swap");
    return fsync(folder_fd) == 0 || error_set_errno(err, errno, "%.100s", path);
}
