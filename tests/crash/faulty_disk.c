/* SPDX-License-Identifier: MIT */
/* A disk that fails on demand: preloaded into the daemon (LD_PRELOAD), it stands between the
 * program with all its libraries and the C library's file calls.
 *
 * FAULTY_DISK names a file of rules that a test may replace (by a rename) at any moment, one a
 * line:
 *
 *     CALL[,CALL...] PATH ACTION AFTER COUNT
 *
 * CALL is open, write, read, fsync, fdatasync, fallocate, punch, ftruncate, rename or unlink; write
 * and read stand for all their relatives (pwrite, pwritev, sendfile ...), open for what may make or
 * write a file, punch for fallocate that gives space back. PATH is a part of the path, or * for
 * any. The rule lets AFTER such calls pass and then acts on COUNT of them:
 *
 *     ENOSPC, EIO ...   the call does nothing and fails with that
 *     short             a write takes only half of its bytes
 *     torn              half of the bytes are written, and the process is killed
 *     kill-before       the process is killed before the call
 *     kill-after        the call is made, and the process is killed
 *     note              nothing is done about it
 *
 * Each act appends "CALL PATH ACTION" as a line to FAULTY_DISK with ".acts" behind it. A path that
 * cannot be told (a socket, a pipe) is none of ours. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { RULES_MAX = 16, RULES_SIZE = 4096, PATH_SIZE = 4096 };

enum action { PASS, NOTE, FAIL, SHORT, TORN, KILL_BEFORE, KILL_AFTER };

struct rule {
    char calls[128];
    char path[128];
    char name[32]; /* of the action */
    enum action action;
    int error;
    long after;
    long count;
    long seen;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES_MAX]; /* guarded by lock, as all below */
static int rule_count;
static struct timespec rules_time;
static ino_t rules_file;

static const struct {
    const char *name;
    int error;
} errors[] = {
    { "ENOSPC", ENOSPC }, { "EIO", EIO },       { "EMFILE", EMFILE }, { "EROFS", EROFS },
    { "EDQUOT", EDQUOT }, { "ENOMEM", ENOMEM }, { "EINTR", EINTR },   { "EAGAIN", EAGAIN },
};

/* The C library's own, behind ours. */
#define NEXT(name)                                                                                 \
    static __typeof__(&name) next;                                                                 \
    if (!next)                                                                                     \
    next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void understand(struct rule *rule)
{
    static const struct {
        const char *name;
        enum action action;
    } actions[] = {
        { "note", NOTE },
        { "short", SHORT },
        { "torn", TORN },
        { "kill-before", KILL_BEFORE },
        { "kill-after", KILL_AFTER },
    };
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strcmp(rule->name, errors[i].name) == 0) {
            rule->action = FAIL;
            rule->error = errors[i].error;
        }
    }
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (strcmp(rule->name, actions[i].name) == 0)
            rule->action = actions[i].action;
    if (rule->action == PASS) {
        fprintf(stderr, "faulty_disk: unknown action \"%s\"\n", rule->name);
        abort();
    }
}

static void parse_rules(char *text)
{
    char *rest;
    rule_count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line && rule_count < RULES_MAX;
         line = strtok_r(NULL, "\n", &rest)) {
        struct rule *rule = &rules[rule_count];
        memset(rule, 0, sizeof(*rule));
        if (sscanf(line, "%127s %127s %31s %ld %ld", rule->calls, rule->path, rule->name,
                   &rule->after, &rule->count) != 5) {
            fprintf(stderr, "faulty_disk: not a rule: %s\n", line);
            abort();
        }
        understand(rule);
        rule_count++;
    }
}

/* With lock; the system calls are made directly, so that they do not come back here. */
static void load_rules(const char *file)
{
    char text[RULES_SIZE + 1];
    struct stat status;
    if (stat(file, &status) != 0) {
        rule_count = 0;
        rules_file = 0;
        return;
    }
    if (status.st_ino == rules_file && status.st_mtim.tv_sec == rules_time.tv_sec &&
        status.st_mtim.tv_nsec == rules_time.tv_nsec)
        return;
    long fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    long size = fd < 0 ? -1 : syscall(SYS_read, fd, text, RULES_SIZE);
    if (fd >= 0)
        syscall(SYS_close, fd);
    if (size < 0)
        return;
    text[size] = '\0';
    parse_rules(text);
    rules_file = status.st_ino;
    rules_time = status.st_mtim;
}

static int has_word(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += size)
        if ((at == list || at[-1] == ',') && (at[size] == ',' || at[size] == '\0'))
            return 1;
    return 0;
}

static void tell(const char *file, const char *call, const char *path, const char *action)
{
    char name[PATH_SIZE];
    char line[PATH_SIZE + 128];
    snprintf(name, sizeof(name), "%s.acts", file);
    int size = snprintf(line, sizeof(line), "%s %s %s\n", call, path, action);
    long fd = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    syscall(SYS_write, fd, line, (size_t)size);
    syscall(SYS_close, fd);
}

/* What is to be done with this call; *error is filled when it fails. */
static enum action judge(const char *call, const char *path, int *error)
{
    const char *file = getenv("FAULTY_DISK");
    enum action action = PASS;
    int saved = errno;
    if (!file)
        return PASS;
    pthread_mutex_lock(&lock);
    load_rules(file);
    for (int i = 0; i < rule_count && action <= NOTE; i++) {
        struct rule *rule = &rules[i];
        if (!has_word(rule->calls, call) ||
            (strcmp(rule->path, "*") != 0 && !strstr(path, rule->path)))
            continue;
        long number = rule->seen++;
        if (number < rule->after || number - rule->after >= rule->count)
            continue;
        action = rule->action;
        *error = rule->error;
        tell(file, call, path, rule->name);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    if (action == KILL_BEFORE)
        raise(SIGKILL);
    return action;
}

static enum action judge_fd(const char *call, int fd, int *error)
{
    char name[64];
    char path[PATH_SIZE];
    int saved = errno;
    if (!getenv("FAULTY_DISK"))
        return PASS;
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof(path) - 1);
    errno = saved;
    if (size <= 0 || path[0] != '/' || strncmp(path, "/proc/", 6) == 0)
        return PASS;
    path[size] = '\0';
    return judge(call, path, error);
}

static void end_after(enum action action)
{
    if (action == KILL_AFTER || action == TORN)
        raise(SIGKILL);
}

/* Half of the bytes, in blocks where there are some: O_DIRECT takes nothing else. */
static size_t half(size_t size)
{
    size_t part = size / 2;
    return part >= 4096 ? part / 4096 * 4096 : part;
}

#define INTERPOSE(result, verdict, ...)                                                            \
    int error = 0;                                                                                 \
    enum action action = verdict;                                                                  \
    if (action == FAIL) {                                                                          \
        errno = error;                                                                             \
        return -1;                                                                                 \
    }                                                                                              \
    result value = next(__VA_ARGS__);                                                              \
    end_after(action);                                                                             \
    return value

#define IS_CUT(action) ((action) == SHORT || (action) == TORN)

/* --- writes --- */

ssize_t write(int fd, const void *bytes, size_t size)
{
    NEXT(write);
    INTERPOSE(ssize_t, judge_fd("write", fd, &error), fd, bytes,
              IS_CUT(action) ? half(size) : size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    NEXT(pwrite);
    INTERPOSE(ssize_t, judge_fd("write", fd, &error), fd, bytes, IS_CUT(action) ? half(size) : size,
              offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset)
{
    NEXT(pwrite64);
    INTERPOSE(ssize_t, judge_fd("write", fd, &error), fd, bytes, IS_CUT(action) ? half(size) : size,
              offset);
}

/* Of several pieces the first alone, or half of the only one. */
#define INTERPOSE_PIECES(...)                                                                      \
    int error = 0;                                                                                 \
    enum action action = judge_fd("write", fd, &error);                                            \
    if (action == FAIL) {                                                                          \
        errno = error;                                                                             \
        return -1;                                                                                 \
    }                                                                                              \
    struct iovec first = count ? pieces[0] : (struct iovec){ 0 };                                  \
    if (IS_CUT(action) && count) {                                                                 \
        first.iov_len = count > 1 ? first.iov_len : half(first.iov_len);                           \
        pieces = &first;                                                                           \
        count = 1;                                                                                 \
    }                                                                                              \
    ssize_t value = next(__VA_ARGS__);                                                             \
    end_after(action);                                                                             \
    return value

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    NEXT(writev);
    INTERPOSE_PIECES(fd, pieces, count);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    NEXT(pwritev);
    INTERPOSE_PIECES(fd, pieces, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *pieces, int count, off64_t offset)
{
    NEXT(pwritev64);
    INTERPOSE_PIECES(fd, pieces, count, offset);
}

ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    NEXT(pwritev2);
    INTERPOSE_PIECES(fd, pieces, count, offset, flags);
}

/* --- reads --- */

ssize_t read(int fd, void *bytes, size_t size)
{
    NEXT(read);
    INTERPOSE(ssize_t, judge_fd("read", fd, &error), fd, bytes, size);
}

ssize_t pread(int fd, void *bytes, size_t size, off_t offset)
{
    NEXT(pread);
    INTERPOSE(ssize_t, judge_fd("read", fd, &error), fd, bytes, size, offset);
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t offset)
{
    NEXT(pread64);
    INTERPOSE(ssize_t, judge_fd("read", fd, &error), fd, bytes, size, offset);
}

ssize_t preadv(int fd, const struct iovec *pieces, int count, off_t offset)
{
    NEXT(preadv);
    INTERPOSE(ssize_t, judge_fd("read", fd, &error), fd, pieces, count, offset);
}

/* Reads of what is in the page cache alone (RWF_NOWAIT) find nothing there: all come to the disk,
 * whose rules say how they end. */
ssize_t preadv2(int fd, const struct iovec *pieces, int count, off_t offset, int flags)
{
    NEXT(preadv2);
    if (flags & RWF_NOWAIT) {
        errno = EAGAIN;
        return -1;
    }
    INTERPOSE(ssize_t, judge_fd("read", fd, &error), fd, pieces, count, offset, flags);
}

ssize_t preadv64v2(int fd, const struct iovec *pieces, int count, off64_t offset, int flags)
{
    return preadv2(fd, pieces, count, offset, flags);
}

ssize_t sendfile(int to, int fd, off_t *offset, size_t size)
{
    NEXT(sendfile);
    INTERPOSE(ssize_t, judge_fd("read", fd, &error), to, fd, offset, size);
}

ssize_t sendfile64(int to, int fd, off64_t *offset, size_t size)
{
    NEXT(sendfile64);
    INTERPOSE(ssize_t, judge_fd("read", fd, &error), to, fd, offset, size);
}

/* --- durability and space --- */

int fsync(int fd)
{
    NEXT(fsync);
    INTERPOSE(int, judge_fd("fsync", fd, &error), fd);
}

int fdatasync(int fd)
{
    NEXT(fdatasync);
    INTERPOSE(int, judge_fd("fdatasync", fd, &error), fd);
}

static const char *fallocate_name(int mode)
{
    return mode & 2 /* FALLOC_FL_PUNCH_HOLE */ ? "punch" : "fallocate";
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    NEXT(fallocate);
    INTERPOSE(int, judge_fd(fallocate_name(mode), fd, &error), fd, mode, offset, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    NEXT(fallocate64);
    INTERPOSE(int, judge_fd(fallocate_name(mode), fd, &error), fd, mode, offset, size);
}

int ftruncate(int fd, off_t size)
{
    NEXT(ftruncate);
    INTERPOSE(int, judge_fd("ftruncate", fd, &error), fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    NEXT(ftruncate64);
    INTERPOSE(int, judge_fd("ftruncate", fd, &error), fd, size);
}

/* --- names --- */

/* Files that are only read do not concern the disk's room. A path beneath an open folder is told
 * apart by its last part, which names what a rule would. */
static enum action judge_open(const char *path, int flags, int *error)
{
    int writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_CREAT);
    return writes ? judge("open", path, error) : PASS;
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
    NEXT(open);
    TAKE_MODE()
    INTERPOSE(int, judge_open(path, flags, &error), path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    NEXT(open64);
    TAKE_MODE()
    INTERPOSE(int, judge_open(path, flags, &error), path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
    NEXT(openat);
    TAKE_MODE()
    INTERPOSE(int, judge_open(path, flags, &error), folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...)
{
    NEXT(openat64);
    TAKE_MODE()
    INTERPOSE(int, judge_open(path, flags, &error), folder, path, flags, mode);
}

int rename(const char *from, const char *to)
{
    NEXT(rename);
    INTERPOSE(int, judge("rename", to, &error), from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    NEXT(renameat);
    INTERPOSE(int, judge("rename", to, &error), from_folder, from, to_folder, to);
}

int unlink(const char *path)
{
    NEXT(unlink);
    INTERPOSE(int, judge("unlink", path, &error), path);
}

int unlinkat(int folder, const char *path, int flags)
{
    NEXT(unlinkat);
    INTERPOSE(int, judge("unlink", path, &error), folder, path, flags);
}
