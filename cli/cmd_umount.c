/*
 * zcfs umount: ends a mount and waits until its daemon has written everything and gone. Refuses mounts that
 * are not zcfs's. Asks the mounted filesystem nothing, so that a dead or hanging mount can be cleared.
 */
#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "fs/wire.h"
#include "mounts.h"
#include "run.h"

const char cmd_umount_summary[] = "unmount MOUNTPOINT and wait for its daemon";

enum { WAIT_MS = 30000, HELPER_MS = 60000 };

static void print_help(void)
{
	puts("usage: zcfs umount [-l] MOUNTPOINT\n"
	     "Unmounts a zcfs mount, dead ones as well, and waits until its daemon has finished.\n\n"
	     "  -l, --lazy  detach it now, even if busy; the daemon ends when its last file is closed\n"
	     "  -h, --help  this text");
}

/* Reads a small file of /proc/PID into buf, ended by NUL. Its length, or -1. */
static ssize_t read_proc(int pid, const char *name, char *buf, size_t size)
{
	char path[300];
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	int AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, buf, size - 1);
	if (len >= 0)
		buf[len] = '\0';
	return len;
}

/* Whether a process holds the /dev/fuse of that connection; kernels that do not say are -ENODATA. */
static int serves_connection(int pid, unsigned connection)
{
	char path[64], text[1024];
	snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	DIR *dir = opendir(path);
	if (!dir)
		return -ENODATA;
	int found = -ENODATA;
	for (struct dirent *e; found != 1 && (e = readdir(dir));) {
		char name[280];
		snprintf(name, sizeof(name), "fdinfo/%s", e->d_name);
		if (e->d_name[0] == '.' || read_proc(pid, name, text, sizeof(text)) < 0)
			continue;
		const char *line = strstr(text, "fuse_connection:");
		if (line)
			found = strtoul(line + strlen("fuse_connection:"), NULL, 10) == connection;
	}
	closedir(dir);
	return found;
}

/* Whether the last word of the process's command line is the mountpoint. */
static bool names_mountpoint(int pid, const char *mountpoint)
{
	char words[4096];
	ssize_t len = read_proc(pid, "cmdline", words, sizeof(words));
	if (len <= 0)
		return false;
	const char *last = words;
	for (ssize_t i = 0; i + 1 < len; i++)
		if (words[i] == '\0')
			last = words + i + 1;
	return strcmp(last, mountpoint) == 0;
}

/* A pidfd of the zcfsd that serves the mount, its pid in *pid; -1 if it cannot be told. */
static int find_daemon(const struct mount_entry *entry, int *pid)
{
	int pidfd = -1;
	DIR *dir = opendir("/proc");
	if (!dir)
		return -1;
	for (struct dirent *e; pidfd < 0 && (e = readdir(dir));) {
		char comm[32];
		int candidate = (int)strtol(e->d_name, NULL, 10);
		if (candidate <= 0 || read_proc(candidate, "comm", comm, sizeof(comm)) < 0 ||
		    strcmp(comm, "zcfsd\n") != 0)
			continue;
		int is_it = serves_connection(candidate, entry->minor);
		if (is_it == -ENODATA)
			is_it = names_mountpoint(candidate, entry->mountpoint);
		if (is_it != 1)
			continue;
		*pid = candidate;
		pidfd = pidfd_open(candidate, 0);
	}
	closedir(dir);
	return pidfd;
}

/* Through the set-user-id helper, for those who may not unmount themselves. 0 or -errno, its words in why. */
static int unmount_by_helper(const char *mountpoint, bool is_lazy, char *why, size_t why_bytes)
{
	const char *argv[] = {"fusermount3", is_lazy ? "-uz" : "-u", "--", mountpoint, NULL};
	int status = run_program(argv, HELPER_MS, why, why_bytes);
	if (status <= 0)
		return status;
	if (status == 127) {
		snprintf(why, why_bytes, "fusermount3 is not installed (package fuse3)");
		return -EPERM;
	}
	return strstr(why, strerror(EBUSY)) ? -EBUSY : -EPERM;
}

static int unmount(const char *mountpoint, bool is_lazy, char *why, size_t why_bytes)
{
	if (umount2(mountpoint, UMOUNT_NOFOLLOW | (is_lazy ? MNT_DETACH : 0)) == 0)
		return 0;
	int err = -errno;
	if (err == -EPERM)
		return unmount_by_helper(mountpoint, is_lazy, why, why_bytes);
	snprintf(why, why_bytes, "%s", strerror(-err));
	return err;
}

/* Finds the mount to end and refuses what is none of ours. 0 or an exit status. */
static int find_mount(const char *path, struct mount_entry *entry)
{
	char canonical[PATH_MAX];
	int err = mounts_of_path(path, entry, canonical);
	if (err) {
		cli_error("umount", "cannot look at %s: %s", path, strerror(-err));
		return err == -EACCES ? STATUS_FAILED : STATUS_BAD_INPUT;
	}
	if (strcmp(canonical, entry->mountpoint) != 0) {
		bool is_below = strcmp(entry->fstype, ZCFS_FSTYPE) == 0;
		cli_error("umount", "%s is not a mountpoint: %s%s", path,
			  is_below ? "it lies in the zcfs mount " : "nothing is mounted there",
			  is_below ? entry->mountpoint : "");
		return STATUS_BAD_INPUT;
	}
	if (strcmp(entry->fstype, ZCFS_FSTYPE) != 0) {
		cli_error("umount", "%s is a mount of type %s, not zcfs: use umount(8)", path,
			  entry->fstype);
		return STATUS_BAD_INPUT;
	}
	return STATUS_OK;
}

static int report(const struct mount_entry *entry, int err, const char *why)
{
	if (err == -EBUSY)
		cli_error("umount",
			  "%s is busy: 'fuser -vm %s' names who uses it; end them, or detach it now with "
			  "'zcfs umount -l %s'",
			  entry->mountpoint, entry->mountpoint, entry->mountpoint);
	else
		cli_error("umount", "cannot unmount %s: %s", entry->mountpoint,
			  *why ? why : strerror(-err));
	return STATUS_FAILED;
}

static int umount_path(const char *path, bool is_lazy)
{
	struct mount_entry entry;
	char why[512] = "";
	int pid = 0;
	int status = find_mount(path, &entry);
	if (status)
		return status;
	int AUTO_FD pidfd = find_daemon(&entry, &pid);
	int err = unmount(entry.mountpoint, is_lazy, why, sizeof(why));
	if (err)
		return report(&entry, err, why);
	if (mounts_has(&entry)) {
		cli_error("umount", "%s is still mounted: try again, or with -l", entry.mountpoint);
		return STATUS_FAILED;
	}
	if (is_lazy || pidfd < 0 || run_wait_gone(pidfd, WAIT_MS))
		return STATUS_OK;
	cli_error("umount",
		  "%s is unmounted, but its daemon (process %d) has not ended within %d s: the mount may "
		  "live on in another mount namespace",
		  entry.mountpoint, pid, WAIT_MS / 1000);
	return STATUS_FAILED;
}

int cmd_umount(int argc, char **argv)
{
	static const struct option longs[] = {
		{"lazy", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	bool is_lazy = false;
	for (int opt; (opt = cli_getopt("umount", argc, argv, ":lh", longs)) != -1;) {
		switch (opt) {
		case 'l':
			is_lazy = true;
			break;
		case 'h':
			print_help();
			return STATUS_OK;
		default:
			return STATUS_BAD_INPUT;
		}
	}
	if (argc - optind != 1) {
		cli_error("umount", "it takes one MOUNTPOINT: 'zcfs umount --help' shows how");
		return STATUS_BAD_INPUT;
	}
	return umount_path(argv[optind], is_lazy);
}
