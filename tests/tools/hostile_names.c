/*
 * Attempts on everything but a file's data (hostile.h): names of every byte and length, attributes, random ioctl numbers, locks,
 * watches.
 */
#include "hostile.h"

#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static char attribute[256 + 10];

static void try_attributes(void)
{
	const size_t name_bytes[] = {6, 254, 255, 256};
	const size_t value_bytes[] = {0, 1, 3000, 65535, 65536, 65537, 1 << 20, SIZE_MAX};
	EACH(n, name_bytes)
	EACH(v, value_bytes)
	{
		memset(attribute, 'n', sizeof(attribute));
		memcpy(attribute, "user.", 5);
		attribute[name_bytes[n]] = 0;
		/* What the backing has room for is its own affair: too large for it is ENOSPC or E2BIG. */
		note(setxattr(path, attribute, area, value_bytes[v], 0),
		     "setxattr name %zu value %#zx", name_bytes[n], value_bytes[v]);
		note(getxattr(path, attribute, area, value_bytes[v]), "getxattr name %zu room %#zx",
		     name_bytes[n], value_bytes[v]);
		note(removexattr(path, attribute), "removexattr name %zu value %#zx", name_bytes[n],
		     value_bytes[v]);
	}
	const char *const names[] = {"",
				     "user",
				     "user.",
				     "nonsense.x",
				     "security.x",
				     "system.x",
				     "trusted.x",
				     "user.\xff\n",
				     "USER.x",
				     ".",
				     "system.posix_acl_access",
				     "security.capability"};
	EACH(n, names)
	{
		note(setxattr(path, names[n], "value", 5, 0), "setxattr '%s'", names[n]);
		note(getxattr(path, names[n], area, 100), "getxattr '%s'", names[n]);
		note(removexattr(path, names[n]), "removexattr '%s'", names[n]);
	}
	note(setxattr(path, "user.x", "v", 1, 3), "setxattr with both flags");
	note(setxattr(path, "user.x", "v", 1, XATTR_REPLACE), "setxattr replacing nothing");
	note(setxattr(path, "user.x", nowhere, 10, 0), "setxattr from address 1");
	note(listxattr(path, area, 0), "listxattr");
}

static void try_names(void)
{
	char name[5000];
	for (int byte = 1; byte < 256; byte++) {
		snprintf(name, sizeof(name), "%s/x%c", dir, byte);
		note(close(open(name, O_CREAT | O_EXCL | O_WRONLY, 0600)),
		     "create a name with byte %d", byte);
		note(unlink(name), "unlink it");
	}
	const size_t sizes[] = {254, 255, 256, 700};
	EACH(s, sizes)
	{
		snprintf(name, sizeof(name), "%s/", dir);
		size_t at = strlen(name);
		memset(name + at, 'n', sizes[s]);
		name[at + sizes[s]] = 0;
		note(mkdir(name, 0700), "mkdir of %zu bytes", sizes[s]);
		note(rmdir(name), "rmdir of %zu bytes", sizes[s]);
		note(symlink(name, path), "symlink over a file");
		note(rename(path, name), "rename to %zu bytes", sizes[s]);
		note(rename(name, path), "rename back");
	}
	char *target = malloc(5000);
	memset(target, 't', 5000);
	for (size_t len = 4094; len <= 4097; len++) {
		target[len] = 0;
		snprintf(name, sizeof(name), "%s/link", dir);
		note(symlink(target, name), "symlink to %zu bytes", len);
		note(readlink(name, area, 5000), "readlink of %zu bytes", len);
		note(unlink(name), "unlink it");
		target[len] = 't';
	}
	free(target);
	snprintf(name, sizeof(name), "%s/.", dir);
	note(rmdir(name), "rmdir of .");
	note(rename(name, path), "rename of .");
	snprintf(name, sizeof(name), "%s/x", dir);
	note(mknod(name, S_IFCHR | 0600, 0x103), "mknod of a device");
	note(mknod(name, 0770000, 0), "mknod of nonsense");
	note(chown(path, 0, 0), "chown to root");
	note(chmod(path, 07777) < 0 ? -1 : 0, "chmod 7777");
	note(chmod(path, 0600), "chmod back");
}

static uint64_t state;

static uint32_t random_word(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 24);
}

static void try_ioctls(void)
{
	state = 0x9E3779B97F4A7C15ULL;
	int fd_dir = open(dir, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 1500; i++) {
		uint32_t cmd = random_word();
		memset(area, 0, 16384);
		note(ioctl(i % 3 ? fd : fd_dir, cmd, area), "ioctl %#x", cmd);
	}
	/* Filesystems' own, by every number, with an argument of zeros and one that is nowhere; errnos are the checks' order. */
	for (unsigned number = 0; number < 128; number++) {
		memset(area, 0, 16384);
		note(ioctl(fd, _IOR('f', number, long), area) >= 0, "success of ioctl to read f %u",
		     number);
		note(ioctl(fd, _IOR('f', number, long), nowhere) >= 0,
		     "success of ioctl to read f %u at address 1", number);
		note(ioctl(fd, _IOW('X', number, int[7]), nowhere) >= 0,
		     "success of ioctl to write X %u at address 1", number);
	}
	note(ioctl(fd, FIONREAD, area), "FIONREAD");
	note(ioctl(fd, FS_IOC_FIEMAP, area), "FIEMAP");
	note(ioctl(fd, FICLONE, fd_from), "FICLONE");
	close(fd_dir);
}

static void try_locks(void)
{
	long refused = 0;
	for (int i = 0; i < 300; i++) {
		int mine = open(path, O_RDWR);
		struct flock range = {.l_type = i % 2 ? F_WRLCK : F_RDLCK,
				      .l_whence = SEEK_SET,
				      .l_start = i * 3L,
				      .l_len = 2};
		refused += flock(mine, (i % 2 ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0;
		refused += fcntl(mine, i % 3 ? F_OFD_SETLK : F_SETLK, &range) < 0;
		if (i % 5)
			close(mine);
	}
	note(refused, "locks refused");
	struct flock odd = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = FAR, .l_len = FAR};
	note(fcntl(fd, F_SETLK, &odd), "a lock beyond the offsets");
	odd = (struct flock){.l_type = 77, .l_whence = 9};
	note(fcntl(fd, F_SETLK, &odd), "a lock of no type");
	note(fcntl(fd, F_SETLEASE, F_WRLCK) < 0 ? -1 : 0, "a lease");
	note(fcntl(fd, F_NOTIFY, -1) < 0 ? -1 : 0, "F_NOTIFY");
	note(fcntl(fd, F_SETFL, -1) < 0 ? -1 : 0, "F_SETFL of every bit");
	note(fcntl(fd, F_SETFL, 0), "F_SETFL of none");
	closefrom(fd_from > fd ? fd_from + 1 : fd + 1);
}

static void try_watches(void)
{
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	long failed = 0;
	for (int i = 0; i < 500; i++)
		failed += inotify_add_watch(watch, i % 2 ? path : dir, IN_ALL_EVENTS) < 0;
	note(failed, "inotify watches refused");
	note(unlink(path), "unlink of what is watched");
	note(read(watch, area, 65536) > 0, "events");
	close(watch);
	int group = fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, 0);
	note(group < 0 ? -1 : 0, "fanotify_init");
	note(fanotify_mark(group, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, dir), "fanotify_mark");
	note(fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_MODIFY, AT_FDCWD, dir),
	     "fanotify_mark of the mount");
	if (group >= 0)
		close(group);
}

void (*const attempts[])(void) = {try_attributes, try_names,   try_ioctls,
				  try_locks,      try_watches, NULL};
