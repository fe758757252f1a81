/*
 * Mounting through libfuse, which calls mount(2) as root and fusermount3 otherwise, and the way back. Owns the message
 * libfuse logs when it fails.
 */
#include "ops/mount.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/log.h"
#include "base/run.h"
#include "ops/ops.h"

/* The last thing libfuse said; main thread only, while mounting. */
static _Thread_local char said[256];

__attribute__((format(printf, 2, 0))) static void keep_message(enum fuse_log_level level,
							       const char *fmt, va_list ap)
{
	if (level > FUSE_LOG_ERR)
		return;
	(void)vsnprintf(said, sizeof(said), fmt, ap);
	said[strcspn(said, "\n")] = 0;
}

__attribute__((format(printf, 2, 0))) static void log_message(enum fuse_log_level level,
							      const char *fmt, va_list ap)
{
	char line[256];
	if (level > FUSE_LOG_WARNING && level != FUSE_LOG_DEBUG)
		return;
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = 0;
	log_msg(level == FUSE_LOG_DEBUG ? LOG_DEBUG : LOG_WARNING, "libfuse: %s", line);
}

/* "a,b" -> "a\,b": what libfuse's option parser takes for one value. malloc'd or NULL. */
static char *escaped(const char *value)
{
	char *out = malloc(2 * strlen(value) + 1);
	char *to = out;
	for (; out && *value; value++) {
		if (*value == ',' || *value == '\\')
			*to++ = '\\';
		*to++ = *value;
	}
	if (out)
		*to = 0;
	return out;
}

static char *libfuse_options(const struct fs *fs, const char *backing)
{
	char *text = NULL;
	char *source = escaped(backing); /* freed by hand: clang-tidy 14 does not see cleanups */
	if (!source)
		return NULL;
	int n = asprintf(&text, "-ofsname=%s,subtype=zcfs,default_permissions,max_read=%llu%s%s%s%s",
			 source, (unsigned long long)fs->max_io_bytes,
			 fs->opt.is_read_only ? ",ro" : "", fs->opt.allow_other ? ",allow_other" : "",
			 fs->opt.fuse[0] ? "," : "", fs->opt.fuse);
	free(source);
	return n < 0 ? NULL : text;
}

/* Mounts. What fusermount3 says on stderr goes into `said` unless libfuse said something itself. */
static int session_mount(struct fuse_session *se, const char *mountpoint)
{
	int AUTO_FD kept = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	int AUTO_FD caught = memfd_create("stderr", MFD_CLOEXEC);
	bool is_caught = kept >= 0 && caught >= 0 && dup2(caught, STDERR_FILENO) >= 0;
	int err = fuse_session_mount(se, mountpoint);
	if (!is_caught)
		return err;
	(void)dup2(kept, STDERR_FILENO);
	if (err != 0 && !said[0]) {
		ssize_t n = pread(caught, said, sizeof(said) - 1, 0);
		said[n > 0 ? n : 0] = 0;
		said[strcspn(said, "\n")] = 0;
	}
	return err;
}

int mount_attach(struct fs *fs, const char *backing, const char *mountpoint,
		 struct fuse_session **out, char *err, size_t err_bytes)
{
	char AUTO_FREE *options = libfuse_options(fs, backing);
	if (!options)
		return -ENOMEM;
	char *argv[] = {(char *)(uintptr_t) "zcfsd", options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);
	said[0] = 0;
	fuse_set_log_func(keep_message);
	struct fuse_session *se = fuse_session_new(&args, &ops_table, sizeof(ops_table), fs);
	int rc = se ? 0 : -EINVAL;
	if (se && session_mount(se, mountpoint) != 0) {
		fuse_session_destroy(se);
		rc = -EIO;
	}
	fuse_opt_free_args(&args);
	fuse_set_log_func(log_message);
	if (rc < 0)
		(void)snprintf(err, err_bytes, "cannot mount %s on %s: %s", backing, mountpoint,
			       said[0] ? said : "libfuse gave no reason; see zcfs doctor");
	else
		*out = se;
	return rc;
}

/* Larger read-ahead keeps the backing device busy; only root may set it, and it is no failure if it cannot. */
static void raise_readahead(const struct stat *st, uint64_t bytes)
{
	char path[96];
	(void)snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", major(st->st_dev),
		       minor(st->st_dev));
	int AUTO_FD fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || dprintf(fd, "%llu", (unsigned long long)(bytes / 1024)) < 0)
		log_msg(LOG_DEBUG, "read-ahead stays as the kernel set it: %s: %s", path,
			strerror(errno));
}

int mount_settle(struct fs *fs, const char *mountpoint, dev_t *dev)
{
	struct stat st;
	int AUTO_FD fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	*dev = fs->dev = st.st_dev;
	raise_readahead(&st, fs->opt.readahead_bytes);
	return 0;
}

/* fusermount3 -u [-z] for who may not umount(2). 0 when it succeeded. */
static int fusermount(const char *mountpoint, bool is_lazy)
{
	const char *argv[] = {"fusermount3", is_lazy ? "-uqz" : "-uq", "--", mountpoint, NULL};
	int status = run_silently(argv);
	return status > 0 ? -EBUSY : status;
}

static int unmount(const char *mountpoint, bool is_lazy)
{
	if (umount2(mountpoint, UMOUNT_NOFOLLOW | (is_lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	return errno == EPERM ? fusermount(mountpoint, is_lazy) : -errno;
}

/* Whether the mountpoint leads to the device, asking nobody who serves it. */
static bool is_at(const char *mountpoint, dev_t dev)
{
	struct statx stx;
	int flags = AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT;
	return statx(AT_FDCWD, mountpoint, flags, 0, &stx) == 0 &&
	       stx.stx_dev_major == major(dev) && stx.stx_dev_minor == minor(dev);
}

int mount_drop_dead(const char *mountpoint)
{
	return unmount(mountpoint, true);
}

void mount_detach(const char *mountpoint, dev_t dev)
{
	if (dev != 0 && !is_at(mountpoint, dev)) {
		log_warn("%s is not, or no longer, where this mount is seen: left alone", mountpoint);
		return;
	}
	if (unmount(mountpoint, false) == 0)
		return;
	/* Busy: write out what mapped files hold dirty while there is still somebody to take it. */
	int AUTO_FD fd = open(mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && syncfs(fd) < 0)
		log_err("cannot write out %s before unmounting it: %s", mountpoint, strerror(errno));
	auto_close(&fd);
	fd = -1;
	log_warn("%s is in use: detached; programs with files open there get ENOTCONN from now on",
		 mountpoint);
	if (unmount(mountpoint, true) != 0)
		log_err("cannot unmount %s; run: fusermount3 -uz '%s'", mountpoint, mountpoint);
}
