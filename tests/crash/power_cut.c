/* SPDX-License-Identifier: MIT */
/* What a power cut would take: preloaded into the daemon (LD_PRELOAD), it stands between the
 * program with all its libraries and the kernel, and notes for each change of a file or a name
 * below POWER_CUT_DATA how to take it back, until an fsync has made it durable. The notes go to the
 * file POWER_CUT/journal (and files that lose their name to POWER_CUT/graves/), so that they
 * outlive a SIGKILL; power_cut.py takes back what was not durable at that moment, or a part of it.
 *
 * POWER_CUT_LIE names a part of a path: fsync and fdatasync of files with it do nothing and say
 * that they did. With that a test is tested: it must find out.
 *
 * A record of the journal: the struct below, two paths, bytes. The changes of a file:
 *
 *     W  the bytes [offset, offset + size) of the file change; the bytes behind the paths are what
 *        stood there (none: zeros, or beyond the end); size_before, size_after (-1: a write, it
 *        grows the file if it ends behind the end)
 *     D  the change with that number has been made
 *     B  a sync of the file (or folder) begins
 *     E  the sync with that number has ended: what was done before it began is durable
 *
 * and those of names: C create, L link, M mkdir, R rename (with the grave of the file that stood
 * there), U unlink (with its grave). They become durable in order, with a sync of the file or of
 * the folder, as on ext4. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PATH_SIZE = 4096, FILES_MAX = 1 << 16, PUNCH_HOLE = 2, KEEP_SIZE = 1 };

struct record {
    uint64_t kind;
    uint64_t number;
    uint64_t file;   /* inode */
    uint64_t folder; /* inode of the folder of the (new) name */
    uint64_t old_folder;
    int64_t offset;
    int64_t size;
    int64_t size_before;
    int64_t size_after;
    uint64_t grave;
    uint64_t path_sizes[2];
    uint64_t bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t
    files[FILES_MAX]; /* inodes below the data directory; guarded by lock, as all below */
static uint64_t last_number;
static uint64_t last_grave;
static int journal = -1;
static char data_root[PATH_SIZE];
static char graves[PATH_SIZE];
static int state; /* 0: not looked yet, 1: on, -1: off */

static void die(const char *what)
{
    fprintf(stderr, "power_cut: %s: %s\n", what, strerror(errno));
    abort();
}

/* The system calls are made directly, so that they do not come back here. */
static int is_on(void)
{
    char path[PATH_SIZE];
    pthread_mutex_lock(&lock);
    if (!state) {
        const char *folder = getenv("POWER_CUT");
        const char *data = getenv("POWER_CUT_DATA");
        state = folder && data ? 1 : -1;
        if (state == 1) {
            snprintf(data_root, sizeof(data_root), "%s", data);
            snprintf(graves, sizeof(graves), "%.4000s/graves", folder);
            snprintf(path, sizeof(path), "%.4000s/journal", folder);
            journal = (int)syscall(SYS_openat, AT_FDCWD, path,
                                   O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
            if (journal < 0)
                die(path);
        }
    }
    int on = state;
    pthread_mutex_unlock(&lock);
    return on == 1;
}

/* With lock, as all up to the calls themselves. */
static void note(struct record *record, const char *path, const char *other, const void *bytes)
{
    record->path_sizes[0] = path ? strlen(path) : 0;
    record->path_sizes[1] = other ? strlen(other) : 0;
    struct iovec pieces[] = {
        { record, sizeof(*record) },
        { (void *)path, record->path_sizes[0] },
        { (void *)other, record->path_sizes[1] },
        { (void *)bytes, record->bytes },
    };
    size_t size = 0;
    for (int i = 0; i < 4; i++)
        size += pieces[i].iov_len;
    if (syscall(SYS_writev, journal, pieces, 4) != (long)size)
        die("journal");
}

static uint64_t *place_of(uint64_t inode)
{
    for (uint64_t i = inode * 0x9E3779B97F4A7C15u >> 48;; i = (i + 1) % FILES_MAX)
        if (!files[i] || files[i] == inode)
            return &files[i];
}

static int is_ours(int fd, struct stat *status)
{
    return fstat(fd, status) == 0 && (S_ISREG(status->st_mode) || S_ISDIR(status->st_mode)) &&
           *place_of(status->st_ino) != 0;
}

static int path_of_fd(int fd, char path[PATH_SIZE])
{
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, PATH_SIZE - 1);
    path[size > 0 ? size : 0] = '\0';
    return size > 0 && path[0] == '/';
}

/* False when it is neither the data directory nor below it. */
static int full_path(int folder, const char *path, char full[PATH_SIZE])
{
    char base[PATH_SIZE];
    size_t size = strlen(data_root);
    full[0] = '\0';
    if (path[0] == '/')
        snprintf(full, PATH_SIZE, "%s", path);
    else if (folder == AT_FDCWD ? getcwd(base, sizeof(base)) != NULL : path_of_fd(folder, base))
        snprintf(full, PATH_SIZE, "%.2000s/%.2000s", base, path);
    else
        return 0;
    return strncmp(full, data_root, size) == 0 && (full[size] == '/' || full[size] == '\0');
}

static uint64_t inode_of(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0 ? status.st_ino : 0;
}

static uint64_t folder_of(const char *path)
{
    char folder[PATH_SIZE];
    snprintf(folder, sizeof(folder), "%s", path);
    *strrchr(folder, '/') = '\0';
    return inode_of(folder);
}

/* Keeps a file that is about to lose its name. */
static uint64_t bury(const char *path)
{
    char grave[PATH_SIZE + 32];
    struct stat status;
    if (lstat(path, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    snprintf(grave, sizeof(grave), "%s/%llu", graves, (unsigned long long)++last_grave);
    if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, grave, 0) != 0)
        die(grave);
    return last_grave;
}

/* What stands in a range now; NULL when that is nothing but zeros. `fd` may be write-only. */
static void *read_old(int fd, int64_t offset, int64_t size)
{
    char name[64];
    int64_t filled = 0;
    int used = 0;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    int reader = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0);
    if (reader < 0)
        die(name);
    off_t data = lseek(reader, offset, SEEK_DATA);
    char *bytes = NULL;
    if (data >= 0 && data < offset + size) {
        bytes = malloc((size_t)size);
        while (filled < size) {
            long got = syscall(SYS_pread64, reader, bytes + filled, (size_t)(size - filled),
                               offset + filled);
            if (got <= 0)
                die("old bytes");
            filled += got;
        }
        for (int64_t i = 0; i < size && !used; i++)
            used = bytes[i] != 0;
    }
    syscall(SYS_close, reader);
    if (used)
        return bytes;
    free(bytes);
    return NULL;
}

/* Returns the number of the change, 0 when the file is none of ours. */
static uint64_t begin_change(int fd, int64_t offset, int64_t size, int64_t size_after)
{
    struct stat status;
    int saved = errno;
    if (!is_on() || fstat(fd, &status) != 0 || !S_ISREG(status.st_mode))
        return 0;
    pthread_mutex_lock(&lock);
    uint64_t number = 0;
    if (is_ours(fd, &status)) {
        if (offset < 0) /* a write at the place where the file stands */
            offset = fcntl(fd, F_GETFL) & O_APPEND ? status.st_size : lseek(fd, 0, SEEK_CUR);
        int64_t end = offset + size < status.st_size ? offset + size : status.st_size;
        void *old = end > offset ? read_old(fd, offset, end - offset) : NULL;
        number = ++last_number;
        struct record record = { .kind = 'W',
                                 .number = number,
                                 .file = status.st_ino,
                                 .offset = offset,
                                 .size = size,
                                 .size_before = status.st_size,
                                 .size_after = size_after,
                                 .bytes = old ? (uint64_t)(end - offset) : 0 };
        note(&record, NULL, NULL, old);
        free(old);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return number;
}

static void tell(uint64_t kind, uint64_t number, uint64_t file)
{
    int saved = errno;
    struct record record = { .kind = kind, .number = number, .file = file };
    if (!number)
        return;
    pthread_mutex_lock(&lock);
    note(&record, NULL, NULL, NULL);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

#define CHANGE(type, fd, offset, size, size_after, ...)                                            \
    uint64_t number = begin_change(fd, offset, size, size_after);                                  \
    type result = (type)syscall(__VA_ARGS__);                                                      \
    tell('D', number, 0);                                                                          \
    return result

/* --- bytes --- */

ssize_t write(int fd, const void *bytes, size_t size)
{
    CHANGE(ssize_t, fd, -1, (int64_t)size, -1, SYS_write, fd, bytes, size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    CHANGE(ssize_t, fd, offset, (int64_t)size, -1, SYS_pwrite64, fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    CHANGE(ssize_t, fd, offset, (int64_t)size, -1, SYS_pwrite64, fd, bytes, size, offset);
}

static int64_t size_of_all(const struct iovec *pieces, int count)
{
    int64_t size = 0;
    for (int i = 0; i < count; i++)
        size += (int64_t)pieces[i].iov_len;
    return size;
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    CHANGE(ssize_t, fd, -1, size_of_all(pieces, count), -1, SYS_writev, fd, pieces, count);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    CHANGE(ssize_t, fd, offset, size_of_all(pieces, count), -1, SYS_pwritev, fd, pieces, count,
           offset, 0);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset)
{
    CHANGE(ssize_t, fd, offset, size_of_all(pieces, count), -1, SYS_pwritev, fd, pieces, count,
           offset, 0);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int fd, off64_t *offset, size_t size,
                        unsigned flags)
{
    CHANGE(ssize_t, fd, offset ? *offset : -1, (int64_t)size, -1, SYS_copy_file_range, from,
           from_offset, fd, offset, size, flags);
}

int ftruncate(int fd, off_t size)
{
    struct stat status = { 0 };
    fstat(fd, &status);
    int64_t cut = status.st_size > size ? status.st_size - size : 0;
    CHANGE(int, fd, size, cut, size, SYS_ftruncate, fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    struct stat status = { 0 };
    fstat(fd, &status);
    if (mode & PUNCH_HOLE) {
        CHANGE(int, fd, offset, size, status.st_size, SYS_fallocate, fd, mode, offset, size);
    }
    if (mode & KEEP_SIZE)
        return (int)syscall(SYS_fallocate, fd, mode, offset, size);
    int64_t end = offset + size > status.st_size ? offset + size : status.st_size;
    CHANGE(int, fd, offset, 0, end, SYS_fallocate, fd, mode, offset, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    return fallocate(fd, mode, offset, size);
}

/* --- syncs --- */

static int is_a_lie(int fd)
{
    char path[PATH_SIZE];
    const char *lie = getenv("POWER_CUT_LIE");
    return lie && path_of_fd(fd, path) && strstr(path, lie);
}

static int sync_file(long call, int fd)
{
    struct stat status;
    uint64_t number = 0;
    if (is_on()) {
        if (is_a_lie(fd))
            return 0;
        pthread_mutex_lock(&lock);
        if (is_ours(fd, &status))
            number = ++last_number;
        pthread_mutex_unlock(&lock);
        tell('B', number, status.st_ino);
    }
    int result = (int)syscall(call, fd);
    if (result == 0)
        tell('E', number, 0);
    return result;
}

int fsync(int fd)
{
    return sync_file(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_file(SYS_fdatasync, fd);
}

/* --- names --- */

static void note_name(uint64_t kind, uint64_t file, const char *path, const char *other,
                      uint64_t grave)
{
    struct record record = { .kind = kind,
                             .number = ++last_number,
                             .file = file,
                             .folder = folder_of(other ? other : path),
                             .old_folder = folder_of(path),
                             .grave = grave };
    note(&record, path, other, NULL);
}

static int open_file(int folder, const char *path, int flags, mode_t mode)
{
    char full[PATH_SIZE];
    struct stat status;
    int writes = flags & (O_CREAT | O_TRUNC);
    if (!is_on())
        return (int)syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    int ours = full_path(folder, path, full);
    int missing = ours && writes && lstat(full, &status) != 0;
    pthread_mutex_unlock(&lock);
    if (ours && !missing && (flags & O_TRUNC) && status.st_size) {
        int fd = (int)syscall(SYS_openat, folder, path, O_RDWR | O_CLOEXEC, 0);
        if (fd >= 0) {
            tell('D', begin_change(fd, 0, status.st_size, 0), 0);
            syscall(SYS_close, fd);
        }
    }
    int fd = (int)syscall(SYS_openat, folder, path, flags, mode);
    int saved = errno;
    if (fd >= 0 && ours && fstat(fd, &status) == 0) {
        pthread_mutex_lock(&lock);
        *place_of(status.st_ino) = status.st_ino;
        if (missing)
            note_name('C', status.st_ino, full, NULL, 0);
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
    return fd;
}

#define TAKE_MODE()                                                                                \
    mode_t mode = 0;                                                                               \
    if (flags & (O_CREAT | __O_TMPFILE)) {                                                         \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }

int open(const char *path, int flags, ...)
{
    TAKE_MODE()
    return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    TAKE_MODE()
    return open_file(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    TAKE_MODE()
    return open_file(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    TAKE_MODE()
    return open_file(folder, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    return open_file(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* Names change one at a time, so that the journal has them in the order of the file system. */
int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    char full[PATH_SIZE];
    char full_to[PATH_SIZE];
    if (!is_on())
        return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
    pthread_mutex_lock(&lock);
    int ours = full_path(from_folder, from, full) && full_path(to_folder, to, full_to);
    uint64_t file = ours ? inode_of(full) : 0;
    uint64_t grave = file ? bury(full_to) : 0;
    int result = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
    int saved = errno;
    if (result == 0 && file)
        note_name('R', file, full, full_to, grave);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int folder, const char *path, int flags)
{
    char full[PATH_SIZE];
    if (!is_on() || (flags & AT_REMOVEDIR))
        return (int)syscall(SYS_unlinkat, folder, path, flags);
    pthread_mutex_lock(&lock);
    int ours = full_path(folder, path, full);
    uint64_t file = ours ? inode_of(full) : 0;
    uint64_t grave = file ? bury(full) : 0;
    int result = (int)syscall(SYS_unlinkat, folder, path, flags);
    int saved = errno;
    if (result == 0 && grave)
        note_name('U', file, full, NULL, grave);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    char full[PATH_SIZE];
    if (!is_on())
        return (int)syscall(SYS_mkdirat, folder, path, mode);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_mkdirat, folder, path, mode);
    int saved = errno;
    if (result == 0 && full_path(folder, path, full))
        note_name('M', inode_of(full), full, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    char full[PATH_SIZE];
    if (!is_on())
        return (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    pthread_mutex_lock(&lock);
    int result = (int)syscall(SYS_linkat, from_folder, from, to_folder, to, flags);
    int saved = errno;
    if (result == 0 && full_path(to_folder, to, full))
        note_name('L', inode_of(full), full, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return result;
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}
