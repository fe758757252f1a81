/*
 * A backing that fails: preloaded into zcfsd, it makes the calls named in the file $ZCFS_FAIL return an error. The file
 * holds lines of `CALL NUMBER`, NUMBER being an errno and CALL one of
 *
 *   read write fsync open mkdir unlink   also by splice(2); reads, writes and syncs of regular files only
 *   splice                               splice(2) from or to a regular file, but no other call
 *   receive answer                       splice(2) from or to a device, which is /dev/fuse
 *   unshare                              without it no worker thread starts
 *
 * and of `crumb NUMBER`: splice(2) from a regular file moves so many bytes at most. No file or an empty one: nothing
 * fails. It is read again at each call. Pipes among themselves are never touched. Thread rule: no state, any thread.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define SHOWN __attribute__((visibility("default")))

/* The errno the rules have for a call, or 0. By plain system calls, so that it does not meet itself. */
static int rule_for(const char *call)
{
	char text[256], name[16];
	const char *file = getenv("ZCFS_FAIL");
	int number, used;
	long fd = file ? syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0) : -1;
	long len = fd >= 0 ? syscall(SYS_read, fd, text, sizeof(text) - 1) : 0;
	if (fd >= 0)
		syscall(SYS_close, fd);
	text[len > 0 ? len : 0] = 0;
	for (const char *at = text; sscanf(at, "%15s %d%n", name, &number, &used) == 2; at += used)
		if (strcmp(name, call) == 0)
			return number;
	return 0;
}

static bool fails(const char *call)
{
	int saved = errno;
	int number = rule_for(call);
	errno = number ? number : saved;
	return number != 0;
}

static mode_t type_of(int fd)
{
	struct stat st;
	int saved = errno;
	mode_t type = fstat(fd, &st) == 0 ? st.st_mode & S_IFMT : 0;
	errno = saved;
	return type;
}

static bool is_regular(int fd)
{
	return type_of(fd) == S_IFREG;
}

/* The function that this one hides. */
#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

#define SHIM(call, is_meant, type, name, parameters, arguments) \
	SHOWN type name parameters                              \
	{                                                       \
		if ((is_meant) && fails(call))                  \
			return -1;                              \
		return NEXT(name) arguments;                    \
	}

/* clang-format off: rows read better as rows. */
SHIM("read", is_regular(fd), ssize_t, pread, (int fd, void *p, size_t n, off_t o), (fd, p, n, o))
SHIM("read", is_regular(fd), ssize_t, pread64, (int fd, void *p, size_t n, off64_t o), (fd, p, n, o))
SHIM("read", is_regular(fd), ssize_t, preadv2,
     (int fd, const struct iovec *v, int c, off_t o, int f), (fd, v, c, o, f))
SHIM("read", is_regular(fd), ssize_t, preadv64v2,
     (int fd, const struct iovec *v, int c, off64_t o, int f), (fd, v, c, o, f))
SHIM("write", is_regular(fd), ssize_t, pwrite, (int fd, const void *p, size_t n, off_t o), (fd, p, n, o))
SHIM("write", is_regular(fd), ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t o),
     (fd, p, n, o))
SHIM("write", is_regular(fd), ssize_t, pwritev2,
     (int fd, const struct iovec *v, int c, off_t o, int f), (fd, v, c, o, f))
SHIM("write", is_regular(fd), ssize_t, pwritev64v2,
     (int fd, const struct iovec *v, int c, off64_t o, int f), (fd, v, c, o, f))
SHIM("fsync", is_regular(fd), int, fsync, (int fd), (fd))
SHIM("fsync", is_regular(fd), int, fdatasync, (int fd), (fd))
SHIM("mkdir", true, int, mkdirat, (int fd, const char *p, mode_t m), (fd, p, m))
SHIM("unlink", true, int, unlinkat, (int fd, const char *p, int f), (fd, p, f))
SHIM("unshare", true, int, unshare, (int f), (f))
/* clang-format on */

SHOWN ssize_t splice(int in, off64_t *off_in, int out, off64_t *off_out, size_t len, unsigned flags)
{
	bool is_read = is_regular(in), is_write = is_regular(out);
	if ((is_read || is_write) && (fails(is_read ? "read" : "write") || fails("splice")))
		return -1;
	if ((type_of(in) == S_IFCHR && fails("receive")) || (type_of(out) == S_IFCHR && fails("answer")))
		return -1;
	size_t crumb = is_read ? (size_t)rule_for("crumb") : 0;
	return NEXT(splice)(in, off_in, out, off_out, crumb > 0 && crumb < len ? crumb : len, flags);
}

/* Opening for use only: O_PATH is how names are looked up. */
static int open_shim(__typeof__(&openat) next, int fd, const char *path, int flags, mode_t mode)
{
	if (!(flags & O_PATH) && fails("open"))
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
