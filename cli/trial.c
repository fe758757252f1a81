/*
 * The doctor's judge: a mount of a private mountpoint, read-only, by the same `zcfs mount` that a person would
 * type. Everything that could hang is a child with a deadline; SIGINT and its like wait until all is removed.
 */
#include "doctor.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "run.h"

enum { MOUNT_MS = 30000, READ_MS = 20000, UMOUNT_MS = 60000 };

struct trial {
	const char *backing;
	char dir[PATH_MAX]; /* ours, in the temporary directory */
	char own_backing[PATH_MAX + 8], own_file[PATH_MAX + 16], mountpoint[PATH_MAX + 8];
};

static const char self_name[] = "/proc/self/exe";

/* Makes the directories. 0 or -errno. */
static int prepare(struct trial *t, const char *backing)
{
	const char *tmp = getenv("TMPDIR");
	int n = snprintf(t->dir, sizeof(t->dir), "%s/zcfs-doctor-XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (n >= (int)sizeof(t->dir))
		return -ENAMETOOLONG;
	if (!mkdtemp(t->dir)) {
		int err = -errno;
		t->dir[0] = '\0';
		return err;
	}
	snprintf(t->mountpoint, sizeof(t->mountpoint), "%s/mnt", t->dir);
	snprintf(t->own_backing, sizeof(t->own_backing), "%s/data", t->dir);
	snprintf(t->own_file, sizeof(t->own_file), "%s/data/file", t->dir);
	t->backing = backing ? backing : t->own_backing;
	if (mkdir(t->mountpoint, 0700) < 0)
		return -errno;
	if (backing)
		return 0;
	if (mkdir(t->own_backing, 0700) < 0)
		return -errno;
	int AUTO_FD fd = open(t->own_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	return write(fd, "zcfs", 4) == 4 ? 0 : -EIO;
}

static void clean(const struct trial *t)
{
	if (!t->dir[0])
		return;
	unlink(t->own_file);
	rmdir(t->own_backing);
	rmdir(t->mountpoint);
	rmdir(t->dir);
}

/*
 * In a child: reads a block of the first regular file that may be read at the top of the mount; prints what it
 * did. An empty directory is as far as it goes. Exit status 0 if nothing failed.
 */
static int read_through(void *ctx)
{
	const struct trial *t = ctx;
	char block[4096];
	ssize_t n = -1;
	DIR *dir = opendir(t->mountpoint);
	if (!dir) {
		printf("cannot list it: %s", strerror(errno));
		return 1;
	}
	for (struct dirent *e; n < 0 && (errno = 0, e = readdir(dir));) {
		if (e->d_type != DT_REG && e->d_type != DT_UNKNOWN)
			continue;
		int AUTO_FD fd =
			openat(dirfd(dir), e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		struct stat st;
		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		n = read(fd, block, sizeof(block));
		if (n < 0) {
			printf("cannot read %s: %s", e->d_name, strerror(errno));
			closedir(dir);
			return 1;
		}
		printf("read %zd bytes of %s", n, e->d_name);
	}
	int err = n < 0 ? errno : 0;
	closedir(dir);
	if (n < 0)
		printf(err ? "cannot list it: %s" : "no readable file at its top, listed it only",
		       strerror(err));
	return err != 0;
}

/* Unmounts, by force of -l in the end, so that nothing stays. 0 if the first try did it. */
static int unmount(struct trial *t, char *why, size_t why_bytes)
{
	const char *argv[] = {self_name, "umount", t->mountpoint, NULL};
	const char *lazy_argv[] = {self_name, "umount", "-l", t->mountpoint, NULL};
	char rest[256];
	int status = run_program(argv, UMOUNT_MS, why, why_bytes);
	if (status && run_program(lazy_argv, UMOUNT_MS, rest, sizeof(rest)))
		snprintf(why, why_bytes, "%s", rest);
	return status;
}

static const char *status_text(int status, const char *said)
{
	if (*said)
		return said;
	return status == -ETIMEDOUT ? "no answer in time"
	       : status < 0         ? strerror(-status)
				    : "it failed";
}

/* Mount, read, unmount; says one line. 0 if all went well. */
static int attempt(struct trial *t)
{
	const char *argv[] = {self_name, "mount",    "-o",          "ro",
			      "--",      t->backing, t->mountpoint, NULL};
	char said[512], why[512];
	struct timespec from, to;
	clock_gettime(CLOCK_MONOTONIC, &from);
	int status = run_program(argv, MOUNT_MS, said, sizeof(said));
	clock_gettime(CLOCK_MONOTONIC, &to);
	long took_ms = (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000;
	if (status) {
		doctor_say(DOCTOR_MISSING, "trial mount", "does not work: %s", status_text(status, said));
		if (status == -ETIMEDOUT)
			(void)unmount(t, why, sizeof(why));
		return -1;
	}
	int read_status = run_function(read_through, t, READ_MS, said, sizeof(said));
	status = unmount(t, why, sizeof(why));
	if (read_status)
		doctor_say(DOCTOR_MISSING, "trial mount", "of %s does not serve: %s", t->backing,
			   status_text(read_status, said));
	else if (status)
		doctor_say(DOCTOR_MISSING, "trial mount", "of %s does not end: %s", t->backing,
			   status_text(status, why));
	else
		doctor_say(DOCTOR_OK, "trial mount", "of %s, read-only, in %ld ms; %s; unmounted",
			   t->backing, took_ms, said);
	return read_status || status ? -1 : 0;
}

int trial_mount(const char *backing)
{
	struct trial t = {0};
	sigset_t ends, before;
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigprocmask(SIG_BLOCK, &ends, &before);
	int err = prepare(&t, backing);
	if (err)
		doctor_say(DOCTOR_MISSING, "trial mount",
			   "no temporary directory can be made in %s: %s: set TMPDIR to one that can be "
			   "written",
			   getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", strerror(-err));
	else
		err = attempt(&t);
	clean(&t);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return err;
}
