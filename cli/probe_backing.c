/*
 * The doctor on a backing directory: what its filesystem can do. Files it needs have no name (O_TMPFILE, or
 * unlinked before they are used), so nothing is left behind however it ends.
 */
#include "doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "mounts.h"

#define BLOCK_BYTES 4096

/* A file in dir that nobody sees, one block long; -errno. */
static int unnamed_file(int dir_fd, const char *dir)
{
	static const char block[BLOCK_BYTES] = "zcfs doctor";
	char AUTO_FREE *name = NULL;
	int AUTO_FD fd = openat(dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
		if (asprintf(&name, "%s/.zcfs-doctor-XXXXXX", dir) < 0) {
			name = NULL;
			return -ENOMEM;
		}
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
	}
	if (fd < 0)
		return -errno;
	ssize_t n = pwrite(fd, block, sizeof(block), 0);
	if (n != (ssize_t)sizeof(block))
		return n < 0 ? -errno : -ENOSPC;
	return take_fd(&fd);
}

static void probe_type(const char *backing)
{
	struct mount_entry entry;
	struct statvfs vfs;
	char canonical[PATH_MAX];
	int err = mounts_of_path(backing, &entry, canonical);
	if (err || statvfs(backing, &vfs) < 0) {
		doctor_say(DOCTOR_SKIPPED, "backing", "its filesystem cannot be told: %s",
			   strerror(err ? -err : errno));
		return;
	}
	if (vfs.f_flag & ST_RDONLY)
		doctor_say(DOCTOR_DEGRADED, "backing",
			   "%s on %s, mounted read-only: so is what zcfs serves of it",
			   entry.fstype, entry.mountpoint);
	else
		doctor_say(DOCTOR_OK, "backing", "%s on %s", entry.fstype, entry.mountpoint);
}

/* Reads the file's block through a descriptor of its own with O_DIRECT. 0 or -errno. */
static int read_direct(int fd)
{
	alignas(BLOCK_BYTES) char block[BLOCK_BYTES];
	char name[64];
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	int AUTO_FD direct = open(name, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (direct < 0)
		return -errno;
	ssize_t n = pread(direct, block, sizeof(block), 0);
	return n < 0 ? -errno : 0;
}

static void probe_direct(int fd)
{
	struct statx stx = {0};
	bool is_told = statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
		       (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align;
	int err = read_direct(fd);
	if (err)
		doctor_say(DOCTOR_DEGRADED, "O_DIRECT",
			   "%s: path=direct does not work and programs' O_DIRECT opens are refused: use "
			   "path=splice, or a backing on a block device's filesystem",
			   strerror(-err));
	else if (is_told)
		doctor_say(DOCTOR_OK, "O_DIRECT", "works; aligned to %u bytes in the file, %u in memory",
			   stx.stx_dio_offset_align, stx.stx_dio_mem_align);
	else
		doctor_say(DOCTOR_DEGRADED, "O_DIRECT",
			   "works, but its alignment is not told (statx STATX_DIOALIGN): zcfs takes 4096: "
			   "use Linux 6.1 or newer, and ext4, xfs, f2fs or btrfs");
}

static void probe_reflink(int dir_fd, const char *backing, int fd)
{
	int AUTO_FD copy = unnamed_file(dir_fd, backing);
	int err = copy < 0 ? copy : ioctl(copy, FICLONE, fd) < 0 ? -errno : 0;
	if (!err)
		doctor_say(DOCTOR_OK, "reflink",
			   "works: copy_file_range shares blocks instead of copying");
	else
		doctor_say(DOCTOR_DEGRADED, "reflink",
			   "%s: copies on the mount cost their full size: use xfs (reflink=1) or btrfs "
			   "if you copy much",
			   strerror(-err));
}

static void probe_xattr(int fd)
{
	if (fsetxattr(fd, "user.zcfs-doctor", "1", 1, 0) == 0)
		doctor_say(DOCTOR_OK, "xattr", "user attributes can be stored");
	else
		doctor_say(DOCTOR_DEGRADED, "xattr",
			   "%s: programs cannot store user.* attributes (the ledger's own are not stored "
			   "and work): use a filesystem that has them",
			   strerror(errno));
}

/* Opens the directory again by its handle. 0 or -errno. */
static int try_handle(int dir_fd, unsigned *bytes)
{
	struct {
		struct file_handle head;
		char room[MAX_HANDLE_SZ];
	} handle = {.head = {.handle_bytes = MAX_HANDLE_SZ}};
	int mount_id;
	if (name_to_handle_at(dir_fd, "", &handle.head, &mount_id, AT_EMPTY_PATH) < 0)
		return -errno;
	*bytes = handle.head.handle_bytes;
	int AUTO_FD fd = open_by_handle_at(dir_fd, &handle.head, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : 0;
}

static void probe_handles(int dir_fd)
{
	unsigned bytes = 0;
	int err = try_handle(dir_fd, &bytes);
	if (!err)
		doctor_say(DOCTOR_OK, "file handles",
			   "work (%u bytes): known files need no descriptor each", bytes);
	else
		doctor_say(DOCTOR_DEGRADED, "file handles",
			   "%s: each file the kernel knows of costs a descriptor, within the limit above: %s",
			   strerror(-err),
			   err == -EPERM ? "mount with CAP_DAC_READ_SEARCH (as root)"
					 : "raise it for large trees");
}

void probe_backing(const char *backing)
{
	int AUTO_FD dir_fd = open(backing, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) {
		doctor_say(DOCTOR_MISSING, "backing", "%s: %s", backing, strerror(errno));
		return;
	}
	probe_type(backing);
	probe_handles(dir_fd);
	int AUTO_FD fd = unnamed_file(dir_fd, backing);
	if (fd < 0) {
		doctor_say(DOCTOR_SKIPPED, "O_DIRECT, xattr",
			   "and reflink cannot be tried, no file can be made in %s: %s", backing,
			   strerror(-fd));
		return;
	}
	probe_direct(fd);
	probe_reflink(dir_fd, backing, fd);
	probe_xattr(fd);
}
