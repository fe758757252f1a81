/*
 * A scratch backing directory for unit tests, and a look at the process's descriptors from
 * outside the code under test. Under $TMPDIR or /tmp: on ext4, xfs, btrfs and tmpfs file handles
 * work.
 *
 *	struct backing BACKING b = backing_new();	// removed at the scope's end
 */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BACKING __attribute__((cleanup(backing_free)))

struct backing {
	char path[PATH_MAX];
	int fd; /* O_RDONLY|O_DIRECTORY; -1: could not be made */
};

static inline struct backing backing_new(void)
{
	struct backing b = {.fd = -1};
	const char *tmp = getenv("TMPDIR");

	snprintf(b.path, sizeof(b.path), "%s/zcfs-unit-XXXXXX", tmp ? tmp : "/tmp");
	if (mkdtemp(b.path))
		b.fd = open(b.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return b;
}

static inline int backing_rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static inline void backing_free(struct backing *b)
{
	if (b->fd < 0)
		return;
	close(b->fd);
	nftw(b->path, backing_rm, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Makes a file with the given content; its inode number, 0 if that failed. */
static inline uint64_t backing_file(const struct backing *b, const char *name, const char *content)
{
	struct stat st;
	int fd = openat(b->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool is_good = fd >= 0 && dprintf(fd, "%s", content) >= 0 && fstat(fd, &st) == 0;

	if (fd >= 0)
		close(fd);
	return is_good ? st.st_ino : 0;
}

/*
 * Deletes the file and makes it again until it has the given inode number. Its birth time differs
 * from what it was before the call. False: the filesystem does not reuse numbers soon.
 */
static inline bool backing_reuse_inode(const struct backing *b, const char *name, uint64_t ino)
{
	struct timespec before, now;

	/* Files are stamped by the coarse clock: await its next tick. */
	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	do {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec);
	/* Another program may have taken the number for a while: most files that tests run beside make are short-lived. */
	const struct timespec pause = {.tv_nsec = 10L * 1000 * 1000};
	for (int n_tries = 0; n_tries < 500; n_tries++) {
		if (unlinkat(b->fd, name, 0) == 0 && backing_file(b, name, "new") == ino)
			return true;
		if (n_tries >= 64)
			nanosleep(&pause, NULL);
	}
	return false;
}

/* How many descriptors this process has open, by /proc. */
static inline size_t backing_n_fds(void)
{
	size_t n = 0;
	DIR *dir = opendir("/proc/self/fd");

	if (!dir)
		return 0;
	for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
		n += e->d_name[0] != '.';
	closedir(dir);
	return n - 1; /* opendir's own */
}
