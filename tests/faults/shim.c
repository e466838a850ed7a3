// Stands between a box and the C library, for the campaign of faults.
//
// STOREBOX_RECORD=FILE: every change that the process makes to files below STOREBOX_RECORD_ROOT goes to FILE, in the
// order in which it happened, so that the states can be built that a power cut may leave (`record.rs` reads it).
// STOREBOX_CLOCK=FILE: the wall clock runs as FILE says, 16 bytes: what is added, in nanoseconds, and how many
// thousandths of a second pass in each second; all other clocks are right.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, LENGTH, SYNC, SYNC_ALL, RENAME, REMOVE, MAKE_DIR, LINK };

struct head {
    uint8_t what, directory, unused[2];
    uint32_t path_bytes;
    uint64_t file, offset, bytes;
};

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int record = -1;
static dev_t device;
static char root[PATH_MAX];
static size_t root_bytes;
static const volatile int64_t *clock_is;

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("STOREBOX_CLOCK");
    if (file) {
        int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
        void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
        if (at != MAP_FAILED) clock_is = at;
        if (fd >= 0) close(fd);
    }
    const char *to = getenv("STOREBOX_RECORD"), *below = getenv("STOREBOX_RECORD_ROOT");
    struct stat stat;
    if (to && below && realpath(below, root) && !lstat(root, &stat)) {
        root_bytes = strlen(root);
        device = stat.st_dev;
        record = syscall(SYS_openat, AT_FDCWD, to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
}

static void put(struct head head, const char *path, const struct iovec *data, int pieces) {
    struct iovec all[2 + 8] = {{&head, sizeof head}, {(void *)path, head.path_bytes}};
    if (pieces > 8) abort();
    for (int at = 0; at < pieces; at++) all[2 + at] = data[at];
    ssize_t wanted = sizeof head + head.path_bytes + head.bytes;
    // A record with a hole proves nothing.
    if (syscall(SYS_writev, record, all, 2 + pieces) != wanted) abort();
}

// The whole path, or nothing if it does not lie below the root.
static int place(int folder, const char *path, char *whole) {
    if (record < 0) return 0;
    char text[PATH_MAX];
    if (path[0] == '/') {
        snprintf(text, sizeof text, "%s", path);
    } else if (folder == AT_FDCWD) {
        return 0;
    } else {
        char name[64], at[PATH_MAX];
        snprintf(name, sizeof name, "/proc/self/fd/%d", folder);
        ssize_t bytes = readlink(name, at, sizeof at - 1);
        if (bytes < 0) return 0;
        at[bytes] = 0;
        if (snprintf(text, sizeof text, "%s/%s", at, path) >= (int)sizeof text) return 0;
    }
    if (strncmp(text, root, root_bytes) || (text[root_bytes] && text[root_bytes] != '/')) return 0;
    strcpy(whole, text + root_bytes);
    return 1;
}

static int ours(int fd, struct stat *stat) {
    return record >= 0 && !fstat(fd, stat) && stat->st_dev == device;
}

static void about_path(int what, const char *path, const char *other, uint64_t file, uint64_t offset) {
    struct iovec second = {(void *)other, other ? strlen(other) : 0};
    struct head head = {.what = what, .path_bytes = strlen(path), .file = file, .offset = offset,
                        .bytes = second.iov_len};
    put(head, path, &second, other ? 1 : 0);
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    if (!(flags & (O_CREAT | O_TRUNC)) || !place(folder, path, whole))
        return syscall(SYS_openat, folder, path, flags, mode);
    pthread_mutex_lock(&turn);
    int fd = syscall(SYS_openat, folder, path, flags, mode), error = errno;
    struct stat stat;
    if (fd >= 0 && !fstat(fd, &stat) && S_ISREG(stat.st_mode))
        about_path(OPEN, whole, NULL, stat.st_ino, !!(flags & O_TRUNC));
    pthread_mutex_unlock(&turn);
    errno = error;
    return fd;
}

static mode_t mode_of(int flags, va_list rest) { return flags & O_CREAT ? va_arg(rest, mode_t) : 0; }
#define OPENED(folder) va_list rest; va_start(rest, flags); mode_t mode = mode_of(flags, rest); va_end(rest); \
    return open_at(folder, path, flags, mode)
int open(const char *path, int flags, ...) { OPENED(AT_FDCWD); }
int open64(const char *path, int flags, ...) { OPENED(AT_FDCWD); }
int openat(int folder, const char *path, int flags, ...) { OPENED(folder); }
int openat64(int folder, const char *path, int flags, ...) { OPENED(folder); }

static void written(int fd, const struct stat *stat, int64_t at, const struct iovec *data, int pieces, ssize_t bytes) {
    struct iovec kept[8];
    if (pieces > 8) abort();
    if (at < 0) at = lseek(fd, 0, SEEK_CUR) - bytes;
    struct head head = {.what = WRITE, .file = stat->st_ino, .offset = at, .bytes = bytes};
    int count = 0;
    for (size_t left = bytes; left; count++) {
        kept[count] = data[count];
        if (kept[count].iov_len > left) kept[count].iov_len = left;
        left -= kept[count].iov_len;
    }
    put(head, "", kept, count);
}

#define WRITES(call, at, data, pieces) do { \
    struct stat stat; \
    if (!ours(fd, &stat) || !S_ISREG(stat.st_mode)) return call; \
    pthread_mutex_lock(&turn); \
    ssize_t done = call; int error = errno; \
    if (done > 0) written(fd, &stat, at, data, pieces, done); \
    pthread_mutex_unlock(&turn); \
    errno = error; return done; } while (0)
ssize_t write(int fd, const void *from, size_t bytes) {
    struct iovec data = {(void *)from, bytes};
    WRITES(syscall(SYS_write, fd, from, bytes), -1, &data, 1);
}
ssize_t writev(int fd, const struct iovec *data, int pieces) {
    WRITES(syscall(SYS_writev, fd, data, pieces > 8 ? 8 : pieces), -1, data, pieces > 8 ? 8 : pieces);
}
ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at) {
    struct iovec data = {(void *)from, bytes};
    WRITES(syscall(SYS_pwrite64, fd, from, bytes, at), at, &data, 1);
}
ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at) { return pwrite(fd, from, bytes, at); }

// What copies inside the kernel would be written past this record; programs then copy by hand.
ssize_t copy_file_range(int in, off64_t *at, int out, off64_t *to, size_t bytes, unsigned flags) {
    struct stat stat;
    if (!ours(out, &stat)) return syscall(SYS_copy_file_range, in, at, out, to, bytes, flags);
    errno = ENOSYS;
    return -1;
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t bytes) {
    struct stat stat;
    if (!ours(out, &stat)) return syscall(SYS_sendfile, out, in, at, bytes);
    errno = ENOSYS;
    return -1;
}

#define CHANGES(call, recorded, what_is_put) do { \
    if (!(recorded)) return call; \
    pthread_mutex_lock(&turn); \
    int done = call, error = errno; \
    if (!done) what_is_put; \
    pthread_mutex_unlock(&turn); \
    errno = error; return done; } while (0)
#define OF_FILE(kind, at) put((struct head){.what = kind, .directory = S_ISDIR(stat.st_mode), \
    .file = stat.st_ino, .offset = at}, "", NULL, 0)
int ftruncate(int fd, off_t bytes) {
    struct stat stat;
    CHANGES(syscall(SYS_ftruncate, fd, bytes), ours(fd, &stat), OF_FILE(LENGTH, bytes));
}
int ftruncate64(int fd, off64_t bytes) { return ftruncate(fd, bytes); }
int fsync(int fd) {
    struct stat stat;
    CHANGES(syscall(SYS_fsync, fd), ours(fd, &stat), OF_FILE(SYNC, 0));
}
int fdatasync(int fd) {
    struct stat stat;
    CHANGES(syscall(SYS_fdatasync, fd), ours(fd, &stat), OF_FILE(SYNC, 0));
}
int syncfs(int fd) {
    struct stat stat;
    CHANGES(syscall(SYS_syncfs, fd), ours(fd, &stat), OF_FILE(SYNC_ALL, 0));
}
int mkdir(const char *path, mode_t mode) {
    char whole[PATH_MAX];
    CHANGES(syscall(SYS_mkdirat, AT_FDCWD, path, mode), place(AT_FDCWD, path, whole),
            about_path(MAKE_DIR, whole, NULL, 0, 0));
}
int unlinkat(int folder, const char *path, int flags) {
    char whole[PATH_MAX];
    CHANGES(syscall(SYS_unlinkat, folder, path, flags), place(folder, path, whole),
            about_path(REMOVE, whole, NULL, 0, 0));
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    char whole[PATH_MAX], other[PATH_MAX];
    CHANGES(syscall(SYS_renameat2, from_folder, from, to_folder, to, 0),
            place(from_folder, from, whole) && place(to_folder, to, other),
            about_path(RENAME, whole, other, 0, 0));
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags) {
    char whole[PATH_MAX], other[PATH_MAX];
    CHANGES(syscall(SYS_linkat, from_folder, from, to_folder, to, flags),
            place(from_folder, from, whole) && place(to_folder, to, other),
            about_path(LINK, whole, other, 0, 0));
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int clock_gettime(clockid_t which, struct timespec *to) {
    int is_wall = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE;
    if (!is_wall || !clock_is) return syscall(SYS_clock_gettime, which, to);
    struct timespec since;
    syscall(SYS_clock_gettime, CLOCK_BOOTTIME, &since);
    int64_t running = (int64_t)since.tv_sec * 1000000000 + since.tv_nsec;
    int64_t now = running / 1000 * clock_is[1] + clock_is[0];
    if (now < 0) now = 0;
    to->tv_sec = now / 1000000000;
    to->tv_nsec = now % 1000000000;
    return 0;
}
time_t time(time_t *to) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (to) *to = now.tv_sec;
    return now.tv_sec;
}
int gettimeofday(struct timeval *restrict to, void *restrict zone) {
    (void)zone;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    to->tv_sec = now.tv_sec;
    to->tv_usec = now.tv_nsec / 1000;
    return 0;
}
