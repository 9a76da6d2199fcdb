/* Gives the files below one folder a disk of their own, with little room: every call that can need room fails
   when there is none. Loaded with LD_PRELOAD; tests/full_disk/disk.py compiles it and sets the figures in the
   control file, which all processes map. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
    _Atomic long long room;   /* bytes that are free; -1: as many as the real disk has */
    _Atomic long long size;   /* bytes of the disk, for statvfs */
    _Atomic long long passes; /* calls that still succeed; -1: all of them */
    _Atomic long long calls;  /* calls so far */
    _Atomic long long failed; /* calls that failed */
    _Atomic long long error;  /* the errno of a failed call */
};

static struct control *control;
static char folder[PATH_MAX];
static size_t folder_length;

__attribute__((constructor)) static void load(void) {
    const char *file = getenv("FULL_DISK_CONTROL"), *below = getenv("FULL_DISK_FOLDER");
    if (file == NULL || below == NULL || realpath(below, folder) == NULL) return;
    folder_length = strlen(folder);
    int fd = ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"))(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED) control = mapped;
}

static int is_below(const char *path) {
    return strncmp(path, folder, folder_length) == 0 && (path[folder_length] == '/' || path[folder_length] == 0);
}

static int has_fd(int fd) {
    struct stat found;
    char link[64], path[PATH_MAX];
    if (control == NULL || fstat(fd, &found) != 0) return 0;
    if (!S_ISREG(found.st_mode) && !S_ISDIR(found.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_below(path);
}

static int has_path(int at, const char *path) {
    char whole[PATH_MAX], copy[PATH_MAX];
    if (control == NULL || path == NULL) return 0;
    if (path[0] != '/' && at != AT_FDCWD) return has_fd(at);
    snprintf(copy, sizeof copy, "%s", path);
    char *slash = strrchr(copy, '/');
    if (slash == NULL) return realpath(".", whole) != NULL && is_below(whole);
    slash[slash == copy] = 0;
    return realpath(copy, whole) != NULL && is_below(whole);
}

static int fails(void) {
    control->failed++;
    errno = (int)control->error;
    return 1;
}

/* Counts a call; whether it has to fail. */
static int is_out(void) {
    control->calls++;
    long long passes = control->passes;
    if (passes < 0) return 0;
    if (passes == 0) return fails();
    control->passes--;
    return 0;
}

/* Takes room for bytes of which `more` are new; returns how many can be written, or -1. */
static ssize_t take(size_t bytes, long long more) {
    if (is_out()) return -1;
    long long room = control->room;
    if (room < 0 || more <= 0) return (ssize_t)bytes;
    if (more <= room) {
        control->room -= more;
        return (ssize_t)bytes;
    }
    long long less = (long long)bytes - (more - room);
    if (less <= 0) {
        fails();
        return -1;
    }
    control->room -= room;
    return (ssize_t)less;
}

static void give(long long bytes) {
    if (bytes > 0 && control->room >= 0) control->room += bytes;
}

static long long size_at(int at, const char *path) {
    struct stat found;
    return fstatat(at, path, &found, 0) == 0 && S_ISREG(found.st_mode) && found.st_nlink == 1 ? found.st_size : 0;
}

static long long end_of(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 ? found.st_size : 0;
}

static long long position(int fd) {
    return fcntl(fd, F_GETFL) & O_APPEND ? end_of(fd) : lseek(fd, 0, SEEK_CUR);
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (real == NULL) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t bytes) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (has_fd(fd)) {
        ssize_t fits = take(bytes, position(fd) + (long long)bytes - end_of(fd));
        if (fits < 0) return -1;
        bytes = (size_t)fits;
    }
    return real(fd, data, bytes);
}

static ssize_t write_at(int fd, const void *data, size_t bytes, off64_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    if (has_fd(fd)) {
        ssize_t fits = take(bytes, offset + (long long)bytes - end_of(fd));
        if (fits < 0) return -1;
        bytes = (size_t)fits;
    }
    return real(fd, data, bytes, offset);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return write_at(fd, data, bytes, offset); }
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) { return write_at(fd, data, bytes, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    if (!has_fd(fd)) return real(fd, parts, count);
    return count == 0 ? 0 : write(fd, parts[0].iov_base, parts[0].iov_len);
}

int fsync(int fd) {
    REAL(int, "fsync", int);
    return has_fd(fd) && is_out() ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    return has_fd(fd) && is_out() ? -1 : real(fd);
}

static int resize(int fd, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    long long before = end_of(fd);
    int here = has_fd(fd);
    if (here && size > before && is_out()) return -1; /* a file can always get smaller */
    int result = real(fd, size);
    if (here && result == 0) give(before - size);
    return result;
}

int ftruncate(int fd, off_t size) { return resize(fd, size); }
int ftruncate64(int fd, off64_t size) { return resize(fd, size); }

static int allocate(int fd, off64_t offset, off64_t length) {
    REAL(int, "posix_fallocate64", int, off64_t, off64_t);
    if (has_fd(fd)) {
        ssize_t fits = take((size_t)length, offset + length - end_of(fd));
        if (fits < 0) return errno;
        if (fits < length) {
            give(length - fits);
            fails();
            return errno;
        }
    }
    return real(fd, offset, length);
}

int posix_fallocate(int fd, off_t offset, off_t length) { return allocate(fd, offset, length); }
int posix_fallocate64(int fd, off64_t offset, off64_t length) { return allocate(fd, offset, length); }

static int open_at(int at, const char *path, int flags, mode_t mode) {
    REAL(int, "openat", int, const char *, int, ...);
    if (flags & (O_CREAT | O_TRUNC) && has_path(at, path)) {
        struct stat found;
        int exists = fstatat(at, path, &found, 0) == 0;
        if (!exists && flags & O_CREAT && (is_out() || (control->room == 0 && fails()))) return -1;
        long long before = exists && flags & O_TRUNC ? size_at(at, path) : 0;
        int fd = real(at, path, flags, mode);
        if (fd >= 0) give(before);
        return fd;
    }
    return real(at, path, flags, mode);
}

#define OPEN(name, ...) \
    int name(__VA_ARGS__ const char *path, int flags, ...) { \
        mode_t mode = 0; \
        if (flags & O_CREAT) { \
            va_list more; \
            va_start(more, flags); \
            mode = va_arg(more, mode_t); \
            va_end(more); \
        }

OPEN(open, ) return open_at(AT_FDCWD, path, flags, mode); }
OPEN(open64, ) return open_at(AT_FDCWD, path, flags, mode); }
OPEN(openat, int at,) return open_at(at, path, flags, mode); }
OPEN(openat64, int at,) return open_at(at, path, flags, mode); }

int renameat(int from_at, const char *from, int to_at, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *);
    int here = has_path(to_at, to);
    if (here && is_out()) return -1;
    long long before = here ? size_at(to_at, to) : 0;
    int result = real(from_at, from, to_at, to);
    if (here && result == 0) give(before);
    return result;
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int mkdirat(int at, const char *path, mode_t mode) {
    REAL(int, "mkdirat", int, const char *, mode_t);
    return has_path(at, path) && is_out() ? -1 : real(at, path, mode);
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int unlinkat(int at, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    int here = has_path(at, path);
    long long before = here ? size_at(at, path) : 0;
    int result = real(at, path, flags);
    if (here && result == 0) give(before);
    return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }

int statvfs(const char *path, struct statvfs *found) {
    REAL(int, "statvfs", const char *, struct statvfs *);
    char whole[PATH_MAX];
    int result = real(path, found);
    if (result == 0 && control != NULL && control->room >= 0 && realpath(path, whole) != NULL && is_below(whole)) {
        found->f_frsize = found->f_bsize = 4096;
        found->f_blocks = (fsblkcnt_t)(control->size / 4096);
        found->f_bfree = found->f_bavail = (fsblkcnt_t)(control->room / 4096);
    }
    return result;
}

int statvfs64(const char *path, struct statvfs64 *found) { return statvfs(path, (struct statvfs *)found); }
