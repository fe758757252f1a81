/*
 * A backing that fails: preloaded into zcfsd, it makes the calls named in the file $ZCFS_FAIL return an error. The file
 * holds lines of `CALL NUMBER [FIRST [TIMES]]`: NUMBER is an errno, FIRST the first such call that meets it (1: the next),
 * TIMES how many do (0: all from then on). CALL is one of
 *
 *   read write                      pread, pwrite and splice(2) of regular files
 *   short_read short_write          of these, and of copy_file_range: NUMBER is no errno but how many bytes they move at most
 *   splice crumb                    splice(2) from or to a regular file, but no other call; from one, so many bytes at most
 *   receive answer                  splice(2) from or to a device, which is /dev/fuse
 *   receive_read                    read(2) of it
 *   vmsplice pipe pipe_size         the latter: F_SETPIPE_SZ
 *   lookup open handle_open         openat with O_PATH, and without; open_by_handle_at
 *   handle_take                     name_to_handle_at
 *   statx fstat statvfs fstatfs     also statfs(2) of a descriptor
 *   fsync sync_range                fsync, fdatasync; sync_file_range
 *   truncate fallocate seek copy    ftruncate, lseek, copy_file_range
 *   getdents mkdir mknod symlink link unlink rename readlink chown chmod utimens ioctl dup
 *   getxattr setxattr listxattr removexattr
 *   alloc map thread unshare        malloc, calloc, realloc; mmap; pthread_create; without the last no worker thread starts
 *
 * No file or an empty one: nothing fails. Pipes among themselves are never touched, nor are writes to /dev/fuse: no errno of
 * these is to be had from a kernel that is not at fault itself. Thread rule: no state but that of failrules.h, any thread.
 */
#include <dirent.h>
#include <sched.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>

#include "failrules.h"

#define SHOWN __attribute__((visibility("default")))

static mode_t type_of(int fd)
{
	struct stat st;
	int saved = errno;
	mode_t type = NEXT(fstat)(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
	errno = saved;
	return type;
}

static bool is_regular(int fd)
{
	return type_of(fd) == S_IFREG;
}

static bool is_file(int fd)
{
	mode_t type = type_of(fd);
	return type == S_IFREG || type == S_IFDIR;
}

#define SHIM(call, is_meant, type, name, parameters, arguments) \
	SHOWN type name parameters                              \
	{                                                       \
		if ((is_meant) && fails(call))                  \
			return -1;                              \
		return NEXT(name) arguments;                    \
	}

/* At most so many bytes as the rules allow the call. */
static size_t shortened(const char *call, int fd, size_t n)
{
	size_t most = is_regular(fd) ? (size_t)rule_for(call) : 0;
	return most > 0 && most < n ? most : n;
}

#define MOVE_SHIM(call, name, pointer, offset)                                \
	SHOWN ssize_t name(int fd, pointer p, size_t n, offset o)             \
	{                                                                     \
		if (is_regular(fd) && fails(call))                            \
			return -1;                                            \
		return NEXT(name)(fd, p, shortened("short_" call, fd, n), o); \
	}

/* Of several pieces of memory at once none is shortened: the daemon moves one. */
#define VECTOR_SHIM(call, name, offset)                                           \
	SHOWN ssize_t name(int fd, const struct iovec *v, int c, offset o, int f) \
	{                                                                         \
		if (is_regular(fd) && fails(call))                                \
			return -1;                                                \
		struct iovec one = v[0];                                          \
		one.iov_len = shortened("short_" call, fd, one.iov_len);          \
		return NEXT(name)(fd, c == 1 ? &one : v, c, o, f);                \
	}

/* As many of v's pieces as the rules allow to be moved, the last of them cut; v where that is all. */
static const struct iovec *cut_pieces(const char *call, int fd, const struct iovec *v, int *count)
{
	static _Thread_local struct iovec piece[IOV_MAX];
	size_t left = shortened(call, fd, SIZE_MAX);
	if (left == SIZE_MAX || *count > IOV_MAX)
		return v;
	int n = 0;
	for (; n < *count && left > 0; n++) {
		piece[n] = v[n];
		if (piece[n].iov_len > left)
			piece[n].iov_len = left;
		left -= piece[n].iov_len;
	}
	*count = n;
	return piece;
}

#define PIECES_SHIM(call, name, offset)                                         \
	SHOWN ssize_t name(int fd, const struct iovec *v, int c, offset o)      \
	{                                                                       \
		if (is_regular(fd) && fails(call))                              \
			return -1;                                              \
		const struct iovec *cut = cut_pieces("short_" call, fd, v, &c); \
		return NEXT(name)(fd, cut, c, o);                               \
	}

/* clang-format off: rows read better as rows. */
PIECES_SHIM("read", preadv, off_t)
PIECES_SHIM("read", preadv64, off64_t)
MOVE_SHIM("read", pread, void *, off_t)
MOVE_SHIM("read", pread64, void *, off64_t)
VECTOR_SHIM("read", preadv2, off_t)
VECTOR_SHIM("read", preadv64v2, off64_t)
MOVE_SHIM("write", pwrite, const void *, off_t)
MOVE_SHIM("write", pwrite64, const void *, off64_t)
VECTOR_SHIM("write", pwritev2, off_t)
VECTOR_SHIM("write", pwritev64v2, off64_t)
SHIM("receive_read", type_of(fd) == S_IFCHR, ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
SHIM("vmsplice", true, ssize_t, vmsplice, (int fd, const struct iovec *v, size_t c, unsigned f),
     (fd, v, c, f))
SHIM("pipe", true, int, pipe2, (int fds[2], int f), (fds, f))
SHIM("handle_open", true, int, open_by_handle_at, (int fd, struct file_handle *h, int f), (fd, h, f))
SHIM("handle_take", true, int, name_to_handle_at,
     (int fd, const char *p, struct file_handle *h, int *m, int f), (fd, p, h, m, f))
SHIM("statx", true, int, statx, (int fd, const char *p, int f, unsigned m, struct statx *s),
     (fd, p, f, m, s))
SHIM("fstat", is_file(fd), int, fstat, (int fd, struct stat *s), (fd, s))
SHIM("fstat", is_file(fd), int, fstat64, (int fd, struct stat64 *s), (fd, s))
SHIM("statvfs", true, int, fstatvfs, (int fd, struct statvfs *s), (fd, s))
SHIM("statvfs", true, int, fstatvfs64, (int fd, struct statvfs64 *s), (fd, s))
SHIM("fstatfs", true, int, fstatfs, (int fd, struct statfs *s), (fd, s))
SHIM("fstatfs", true, int, fstatfs64, (int fd, struct statfs64 *s), (fd, s))
SHIM("fsync", is_file(fd), int, fsync, (int fd), (fd))
SHIM("fsync", is_file(fd), int, fdatasync, (int fd), (fd))
SHIM("sync_range", true, int, sync_file_range, (int fd, off64_t o, off64_t n, unsigned f), (fd, o, n, f))
SHIM("truncate", true, int, ftruncate, (int fd, off_t n), (fd, n))
SHIM("truncate", true, int, ftruncate64, (int fd, off64_t n), (fd, n))
SHIM("fallocate", true, int, fallocate, (int fd, int m, off_t o, off_t n), (fd, m, o, n))
SHIM("fallocate", true, int, fallocate64, (int fd, int m, off64_t o, off64_t n), (fd, m, o, n))
SHIM("seek", is_file(fd), off_t, lseek, (int fd, off_t o, int w), (fd, o, w))
SHIM("seek", is_file(fd), off64_t, lseek64, (int fd, off64_t o, int w), (fd, o, w))
SHIM("mkdir", true, int, mkdirat, (int fd, const char *p, mode_t m), (fd, p, m))
SHIM("mknod", true, int, mknodat, (int fd, const char *p, mode_t m, dev_t d), (fd, p, m, d))
SHIM("symlink", true, int, symlinkat, (const char *t, int fd, const char *p), (t, fd, p))
SHIM("link", true, int, linkat, (int a, const char *p, int b, const char *q, int f), (a, p, b, q, f))
SHIM("unlink", true, int, unlinkat, (int fd, const char *p, int f), (fd, p, f))
SHIM("rename", true, int, renameat2, (int a, const char *p, int b, const char *q, unsigned f),
     (a, p, b, q, f))
SHIM("readlink", true, ssize_t, readlinkat, (int fd, const char *p, char *b, size_t n), (fd, p, b, n))
SHIM("chown", true, int, fchownat, (int fd, const char *p, uid_t u, gid_t g, int f), (fd, p, u, g, f))
SHIM("chmod", true, int, fchmodat, (int fd, const char *p, mode_t m, int f), (fd, p, m, f))
SHIM("utimens", true, int, utimensat, (int fd, const char *p, const struct timespec t[2], int f),
     (fd, p, t, f))
SHIM("dup", true, int, dup, (int fd), (fd))
SHIM("getxattr", true, ssize_t, getxattr, (const char *p, const char *a, void *v, size_t n), (p, a, v, n))
SHIM("setxattr", true, int, setxattr,
     (const char *p, const char *a, const void *v, size_t n, int f), (p, a, v, n, f))
SHIM("listxattr", true, ssize_t, listxattr, (const char *p, char *l, size_t n), (p, l, n))
SHIM("removexattr", true, int, removexattr, (const char *p, const char *a), (p, a))
SHIM("unshare", true, int, unshare, (int f), (f))
/* clang-format on */

SHOWN ssize_t copy_file_range(int in, off64_t *off_in, int out, off64_t *off_out, size_t len,
			      unsigned flags)
{
	if (fails("copy"))
		return -1;
	return NEXT(copy_file_range)(in, off_in, out, off_out, shortened("short_write", out, len), flags);
}

SHOWN ssize_t splice(int in, off64_t *off_in, int out, off64_t *off_out, size_t len, unsigned flags)
{
	bool is_read = is_regular(in), is_write = is_regular(out);
	if ((is_read || is_write) && (fails(is_read ? "read" : "write") || fails("splice")))
		return -1;
	if ((type_of(in) == S_IFCHR && fails("receive")) || (type_of(out) == S_IFCHR && fails("answer")))
		return -1;
	len = shortened("crumb", in, shortened("short_read", in, shortened("short_write", out, len)));
	return NEXT(splice)(in, off_in, out, off_out, len, flags);
}

static int open_shim(__typeof__(&openat) next, int fd, const char *path, int flags, mode_t mode)
{
	if (fails(flags & O_PATH ? "lookup" : "open"))
		return -1;
	return next(fd, path, flags, mode);
}

static mode_t mode_of(int flags, va_list ap)
{
	return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(ap, mode_t) : 0;
}

#define OPEN_SHIM(name)                                              \
	SHOWN int name(int fd, const char *path, int flags, ...)     \
	{                                                            \
		va_list ap;                                          \
		va_start(ap, flags);                                 \
		mode_t mode = mode_of(flags, ap);                    \
		va_end(ap);                                          \
		return open_shim(NEXT(name), fd, path, flags, mode); \
	}

OPEN_SHIM(openat)
OPEN_SHIM(openat64)

/* Calls with one more argument of some kind, of which a register's worth is handed on. */
#define REST_SHIM(call, is_meant, type, name, number) \
	SHOWN type name(int fd, number what, ...)     \
	{                                             \
		va_list ap;                           \
		va_start(ap, what);                   \
		void *rest = va_arg(ap, void *);      \
		va_end(ap);                           \
		if ((is_meant) && fails(call))        \
			return -1;                    \
		return NEXT(name)(fd, what, rest);    \
	}

REST_SHIM("pipe_size", what == F_SETPIPE_SZ, int, fcntl, int)
REST_SHIM("pipe_size", what == F_SETPIPE_SZ, int, fcntl64, int)
REST_SHIM("ioctl", is_file(fd), int, ioctl, unsigned long)

/* glibc has no function for getdents64 that the daemon could call without a DIR. */
SHOWN long syscall(long number, ...)
{
	va_list ap;
	long a[6];
	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_getdents64 && fails("getdents"))
		return -1;
	return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

SHOWN int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*run)(void *), void *arg)
{
	int number = rule_for("thread");
	return number ? number : NEXT(pthread_create)(t, a, run, arg);
}

#define MAP_SHIM(name, offset)                                                      \
	SHOWN void *name(void *at, size_t n, int prot, int flags, int fd, offset o) \
	{                                                                           \
		if (flags & MAP_ANONYMOUS && fails("map"))                          \
			return MAP_FAILED;                                          \
		return NEXT(name)(at, n, prot, flags, fd, o);                       \
	}

MAP_SHIM(mmap, off_t)
MAP_SHIM(mmap64, off64_t)

/* By glibc's other names: dlsym() might allocate. A sanitizer's runtime hides these three, and no rule meets them there. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);

SHOWN void *malloc(size_t n)
{
	return fails("alloc") ? NULL : __libc_malloc(n);
}

SHOWN void *calloc(size_t count, size_t n)
{
	return fails("alloc") ? NULL : __libc_calloc(count, n);
}

SHOWN void *realloc(void *p, size_t n)
{
	return fails("alloc") ? NULL : __libc_realloc(p, n);
}
