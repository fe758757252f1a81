/*
 * fusectl's file `abort`, a directory for each connection, which is named by the minor number of the mount's device. Where
 * fusectl is not mounted (a container) root reaches it by a mount that is attached nowhere. Any thread.
 */
#include "ops/abort.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#define FUSECTL "/sys/fs/fuse/connections"

/* A descriptor of fusectl's root, or -errno. */
static int fusectl_mount(void)
{
	int AUTO_FD config = (int)syscall(SYS_fsopen, "fusectl", FSOPEN_CLOEXEC);
	if (config < 0 || syscall(SYS_fsconfig, config, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	int fd = (int)syscall(SYS_fsmount, config, FSMOUNT_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int abort_connection(dev_t dev)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "%u/abort", minor(dev));
	int AUTO_FD dir = open(FUSECTL, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int AUTO_FD fd = dir < 0 ? -1 : openat(dir, name, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		int AUTO_FD own = fusectl_mount();
		if (own < 0)
			return own;
		fd = openat(own, name, O_WRONLY | O_CLOEXEC);
	}
	if (fd < 0 || write(fd, "1", 1) < 0)
		return -errno;
	return 0;
}
