/*
 * Checks of the words a person gave, before anything is mounted. Owns nothing; single-threaded.
 */
#include "preflight.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "base/run.h"
#include "wire.h"

#define FUSE_CONF "/etc/fuse.conf"

int preflight_backing(const char *backing, int *fd, char resolved[PATH_MAX], char *err, size_t err_bytes)
{
	*fd = open(backing, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd >= 0 && realpath(backing, resolved))
		return 0;
	int rc = -errno;
	const char *hint = rc == -ENOENT    ? "make it first"
			   : rc == -ENOTDIR ? "name a directory"
			   : rc == -EACCES  ? "you need read and search permission on it"
					    : "see the kernel's log";
	(void)snprintf(err, err_bytes, "cannot open the backing directory %s: %s; %s", backing,
		       strerror(-rc), hint);
	return rc;
}

/* Whether the directory dir lies strictly below the backing root: then the mount would be found inside itself. */
static bool is_below(int backing_fd, const char *dir)
{
	struct stat root, at;
	char path[PATH_MAX];
	if (fstat(backing_fd, &root) < 0 || stat(dir, &at) < 0)
		return false;
	if (root.st_dev == at.st_dev && root.st_ino == at.st_ino)
		return false; /* over-mounting the backing directory itself is fine */
	(void)snprintf(path, sizeof(path), "%s", dir);
	while (path[0] && path[1]) {
		char *slash = strrchr(path, '/');
		slash[slash == path ? 1 : 0] = 0;
		if (stat(path, &at) == 0 && root.st_dev == at.st_dev && root.st_ino == at.st_ino)
			return true;
	}
	return false;
}

/* Undoes mountinfo's \040 for a space and the like, in place. */
static void unescape_octal(char *text)
{
	char *to = text;
	for (const char *from = text; *from;) {
		unsigned c = 0;
		if (sscanf(from, "\\%3o", &c) == 1) {
			*to++ = (char)c;
			from += 4;
		} else {
			*to++ = *from++;
		}
	}
	*to = 0;
}

/* Whether `path` is the root of a zcfs mount, by the last line of mountinfo that names it. */
static bool is_zcfs_mounted(const char *path)
{
	char line[2 * PATH_MAX];
	bool is_zcfs = false;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	while (f && fgets(line, sizeof(line), f)) {
		char at[PATH_MAX];
		const char *rest = strstr(line, " - ");
		if (!rest || sscanf(line, "%*s %*s %*s %*s %4095s", at) != 1)
			continue;
		unescape_octal(at);
		if (strcmp(at, path) == 0)
			is_zcfs = strncmp(rest, " - fuse.zcfs ", 13) == 0;
	}
	if (f)
		(void)fclose(f);
	return is_zcfs;
}

/* The absolute path of a directory that may not answer: of all but its last name. */
static bool resolve_parent(const char *path, char resolved[PATH_MAX])
{
	char copy[PATH_MAX];
	size_t len = strlen(path);
	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len >= sizeof(copy))
		return false;
	memcpy(copy, path, len);
	copy[len] = 0;
	char *slash = strrchr(copy, '/');
	/* a place in `path`, for the copy is cut here */
	const char *name = path + (slash ? slash + 1 - copy : 0);
	size_t name_len = len - (size_t)(name - path);
	if (name_len == 0 || strcmp(copy + (name - path), ".") == 0 ||
	    strcmp(copy + (name - path), "..") == 0)
		return false;
	if (slash)
		slash[slash == copy] = 0;
	if (!realpath(slash ? copy : ".", resolved))
		return false;
	size_t dir_len = strlen(resolved);
	int n = snprintf(resolved + dir_len, PATH_MAX - dir_len, "%s%.*s", dir_len > 1 ? "/" : "",
			 (int)name_len, name);
	return n >= 0 && (size_t)n < PATH_MAX - dir_len;
}

bool preflight_is_dead(const char *mountpoint, char resolved[PATH_MAX])
{
	if (!resolve_parent(mountpoint, resolved) || !is_zcfs_mounted(resolved))
		return false;
	/* What the daemon answers by itself: a backing that died would give ENOTCONN too, through a daemon that lives. */
	return getxattr(resolved, ZCFS_XATTR_PATH, NULL, 0) < 0 && errno == ENOTCONN;
}

int preflight_mountpoint(const char *mountpoint, int backing_fd, char resolved[PATH_MAX], char *err,
			 size_t err_bytes)
{
	struct stat st;
	if (!realpath(mountpoint, resolved) || stat(resolved, &st) < 0) {
		int rc = -errno;
		const char *hint = rc == -ENOENT ? "make it first: mkdir"
				   : rc == -ENOTCONN ? "a mount whose daemon died; clear it: zcfs umount"
						     : "name a directory you may enter";
		(void)snprintf(err, err_bytes, "cannot use the mountpoint %s: %s; %s%s%s", mountpoint,
			       strerror(-rc), hint, rc == -ENOENT || rc == -ENOTCONN ? " " : "",
			       rc == -ENOENT || rc == -ENOTCONN ? mountpoint : "");
		return rc;
	}
	if (!S_ISDIR(st.st_mode)) {
		(void)snprintf(err, err_bytes,
			       "cannot use the mountpoint %s: Not a directory; name a directory",
			       mountpoint);
		return -ENOTDIR;
	}
	if (is_zcfs_mounted(resolved)) {
		(void)snprintf(err, err_bytes,
			       "%s is busy: zcfs is mounted there already; first: zcfs umount %s",
			       mountpoint, mountpoint);
		return -EBUSY;
	}
	if (is_below(backing_fd, resolved)) {
		(void)snprintf(err, err_bytes,
			       "the mountpoint %s lies inside the backing directory, so the mount would contain itself; use a "
			       "directory outside it, or the backing directory itself",
			       mountpoint);
		return -EINVAL;
	}
	return 0;
}

static bool is_in_path(const char *program)
{
	const char *path = getenv("PATH");
	char AUTO_FREE *dirs = strdup(path ? path : "/usr/bin:/bin");
	char *rest = dirs;
	for (char *dir = strsep(&rest, ":"); dir; dir = strsep(&rest, ":")) {
		char full[PATH_MAX];
		(void)snprintf(full, sizeof(full), "%s/%s", dir, program);
		if (access(full, X_OK) == 0)
			return true;
	}
	return access("/usr/bin/fusermount3", X_OK) == 0;
}

static bool may_users_allow_other(void)
{
	char line[256];
	bool is_allowed = false;
	FILE *f = fopen(FUSE_CONF, "re");
	while (f && fgets(line, sizeof(line), f))
		is_allowed = is_allowed ||
			     strncmp(line + strspn(line, " \t"), "user_allow_other", 16) == 0;
	if (f)
		(void)fclose(f);
	return is_allowed;
}

/* Of root's mounts libfuse leaves the watching to fusermount3, and says nothing where an older one cannot (before 3.15). */
static bool can_watch_mounts(void)
{
	static const char *const argv[] = {"fusermount3", "--auto-unmount", "--version", NULL};
	return run_silently(argv) == 0;
}

static int preflight_root(const struct options *opt, char *err, size_t err_bytes)
{
	if (!opt->auto_unmount || can_watch_mounts())
		return 0;
	(void)snprintf(err, err_bytes,
		       "auto_unmount for root needs fusermount3 3.15 or newer in PATH; leave it out, and "
		       "after a crash run zcfs umount MOUNTPOINT");
	return -EOPNOTSUPP;
}

int preflight_pool(const struct options *opt, char *err, size_t err_bytes)
{
	uint64_t memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	if (opt->pool_size_bytes <= memory_bytes)
		return 0;
	(void)snprintf(err, err_bytes,
		       "pool_size=%lluM is more than this machine's memory (%llu MiB): a pool is to stay in it",
		       (unsigned long long)(opt->pool_size_bytes >> 20),
		       (unsigned long long)(memory_bytes >> 20));
	return -EINVAL;
}

int preflight_fuse(const struct options *opt, char *err, size_t err_bytes)
{
	int AUTO_FD fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		int rc = -errno;
		(void)snprintf(err, err_bytes, "cannot open /dev/fuse: %s; %s", strerror(-rc),
			       rc == -ENOENT || rc == -ENODEV
				       ? "load the module: modprobe fuse"
				       : "you need read and write permission on it");
		return rc;
	}
	if (geteuid() == 0)
		return preflight_root(opt, err, err_bytes);
	if (!is_in_path("fusermount3")) {
		(void)snprintf(err, err_bytes,
			       "mounting as a user needs fusermount3, which is not installed; install the package fuse3");
		return -ENOENT;
	}
	if ((opt->allow_other || opt->allow_root) && !may_users_allow_other()) {
		(void)snprintf(err, err_bytes,
			       "%s is for root unless " FUSE_CONF
			       " says user_allow_other; add that line or leave it out",
			       opt->allow_other ? "allow_other" : "allow_root");
		return -EPERM;
	}
	return 0;
}
