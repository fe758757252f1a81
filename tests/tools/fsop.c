/*
 * fsop OPERATION ARGUMENT...: system calls that no common program makes to the letter. Prints what it found; on failure the
 * errno's name on stderr, and status 1.
 *
 *   rename OLD NEW noreplace|exchange|whiteout|0
 *   tmpfile DIR NAME TEXT        an O_TMPFILE file, TEXT written, then linked as NAME
 *   tmpexcl DIR                  one that must not be linkable
 *   telldir DIR                  every position told while reading leads back to the same name; prints the number of names
 *   btime FILE                   statx: nanoseconds since the epoch
 *   times FILE ATIME MTIME       utimensat: SECONDS.NANOSECONDS, now or omit
 *   lock KIND FILE COMMAND...    holds an exclusive lock (flock, posix, ofd) while COMMAND runs; its status
 *   try KIND FILE                the same lock without waiting: free or taken
 *   wait KIND FILE               waits for it
 *   openmany DIR COUNT           makes COUNT files, all open at once, then writes and reads each
 *   fsyncdir DIR                 fsync and fdatasync of a directory
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pattern.h"

static int failed(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerrorname_np(errno));
	return 1;
}

static int op_rename(char **arg)
{
	unsigned flags = strcmp(arg[2], "noreplace") == 0  ? RENAME_NOREPLACE
			 : strcmp(arg[2], "exchange") == 0 ? RENAME_EXCHANGE
			 : strcmp(arg[2], "whiteout") == 0 ? RENAME_WHITEOUT
							   : 0;
	return renameat2(AT_FDCWD, arg[0], AT_FDCWD, arg[1], flags) < 0 ? failed("rename") : 0;
}

static int link_fd(int fd, const char *name)
{
	char proc[64];
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, proc, AT_FDCWD, name, AT_SYMLINK_FOLLOW);
}

static int op_tmpfile(char **arg)
{
	int fd = open(arg[0], O_TMPFILE | O_RDWR, 0640);
	ssize_t len = (ssize_t)strlen(arg[2]);
	if (fd < 0)
		return failed("open");
	if (write(fd, arg[2], (size_t)len) != len)
		return failed("write");
	if (link_fd(fd, arg[1]) < 0)
		return failed("linkat");
	struct stat st;
	if (fstat(fd, &st) < 0 || st.st_nlink != 1 || st.st_size != len)
		return failed("fstat");
	return close(fd) < 0 ? failed("close") : 0;
}

static int op_tmpexcl(char **arg)
{
	int fd = open(arg[0], O_TMPFILE | O_RDWR | O_EXCL, 0600);
	char name[4200];
	if (fd < 0)
		return failed("open");
	snprintf(name, sizeof(name), "%s/should-not-be", arg[0]);
	if (link_fd(fd, name) == 0)
		return printf("linked\n"), 1;
	printf("%s\n", strerrorname_np(errno));
	return 0;
}

#define NAMES_MAX 65536
static long position[NAMES_MAX];
static char *name_at[NAMES_MAX];

static int op_telldir(char **arg)
{
	DIR *dir = opendir(arg[0]);
	if (!dir)
		return failed("opendir");
	long count = 0;
	for (;; count++) {
		position[count] = telldir(dir);
		struct dirent *entry = readdir(dir);
		if (!entry || count == NAMES_MAX - 1)
			break;
		name_at[count] = strdup(entry->d_name);
	}
	/* From the end, by a step that has no common divisor with most counts. */
	for (long i = 0, at = count - 1; i < count && i < 3000;
	     i++, at = (at + count - 7 % count) % count) {
		seekdir(dir, position[at]);
		struct dirent *entry = readdir(dir);
		if (!entry || strcmp(entry->d_name, name_at[at]) != 0) {
			fprintf(stderr, "entry %ld: %s, not %s\n", at,
				entry ? entry->d_name : "none", name_at[at]);
			return 1;
		}
	}
	rewinddir(dir);
	long again = 0;
	while (readdir(dir))
		again++;
	printf("%ld\n", count);
	return again == count ? 0 : 1;
}

static int op_btime(char **arg)
{
	struct statx stx;
	if (statx(AT_FDCWD, arg[0], 0, STATX_BTIME, &stx) < 0)
		return failed("statx");
	if (!(stx.stx_mask & STATX_BTIME))
		return printf("none\n"), 0;
	printf("%lld.%09u\n", (long long)stx.stx_btime.tv_sec, stx.stx_btime.tv_nsec);
	return 0;
}

static struct timespec time_of(const char *text)
{
	struct timespec ts = {0};
	if (strcmp(text, "now") == 0)
		ts.tv_nsec = UTIME_NOW;
	else if (strcmp(text, "omit") == 0)
		ts.tv_nsec = UTIME_OMIT;
	else
		sscanf(text, "%ld.%ld", &ts.tv_sec, &ts.tv_nsec);
	return ts;
}

static int op_times(char **arg)
{
	const struct timespec times[2] = {time_of(arg[1]), time_of(arg[2])};
	return utimensat(AT_FDCWD, arg[0], times, AT_SYMLINK_NOFOLLOW) < 0 ? failed("utimensat") : 0;
}

/* Takes the lock on fd. 0 or -1. */
static int lock(const char *kind, int fd, int is_waiting)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (strcmp(kind, "flock") == 0)
		return flock(fd, LOCK_EX | (is_waiting ? 0 : LOCK_NB));
	if (strcmp(kind, "posix") == 0)
		return fcntl(fd, is_waiting ? F_SETLKW : F_SETLK, &whole);
	return fcntl(fd, is_waiting ? F_OFD_SETLKW : F_OFD_SETLK, &whole);
}

static int op_lock(char **arg)
{
	int fd = open(arg[1], O_RDWR | O_CLOEXEC);
	if (fd < 0 || lock(arg[0], fd, 1) < 0)
		return failed("lock");
	pid_t child = fork();
	if (child == 0) {
		execvp(arg[2], arg + 2);
		_exit(127);
	}
	int status = 0;
	if (child < 0 || waitpid(child, &status, 0) < 0)
		return failed("run");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int op_try(char **arg)
{
	int fd = open(arg[1], O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return failed("open");
	if (lock(arg[0], fd, 0) == 0)
		return printf("free\n"), 0;
	if (errno != EAGAIN && errno != EACCES)
		return failed("lock");
	printf("taken\n");
	return 0;
}

static int op_wait(char **arg)
{
	int fd = open(arg[1], O_RDWR | O_CLOEXEC);
	return fd < 0 || lock(arg[0], fd, 1) < 0 ? failed("lock") : 0;
}

static int op_openmany(char **arg)
{
	long count = atol(arg[1]) < NAMES_MAX ? atol(arg[1]) : NAMES_MAX;
	static int fd[NAMES_MAX];
	char name[4200], mem[64];
	for (long i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s/%ld", arg[0], i);
		fd[i] = open(name, O_RDWR | O_CREAT, 0644);
		if (fd[i] < 0)
			return failed(name);
	}
	for (long i = 0; i < count; i++)
		if (dprintf(fd[i], "%ld", i) < 0)
			return failed("write");
	for (long i = 0; i < count; i++) {
		ssize_t n = pread(fd[i], mem, sizeof(mem) - 1, 0);
		if (n < 0)
			return failed("read");
		mem[n] = 0;
		if (atol(mem) != i)
			return printf("file %ld has '%s'\n", i, mem), 1;
	}
	return 0;
}

static int op_fsyncdir(char **arg)
{
	int fd = open(arg[0], O_RDONLY | O_DIRECTORY);
	return fd < 0 || fsync(fd) < 0 || fdatasync(fd) < 0 ? failed("fsync") : 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*carry_out)(char **arg);
	} operations[] = {
		{"rename", 3, op_rename},     {"tmpfile", 3, op_tmpfile},
		{"tmpexcl", 1, op_tmpexcl},   {"telldir", 1, op_telldir},
		{"btime", 1, op_btime},       {"times", 3, op_times},
		{"lock", 3, op_lock},         {"try", 2, op_try},
		{"wait", 2, op_wait},         {"openmany", 2, op_openmany},
		{"fsyncdir", 1, op_fsyncdir},
	};
	for (size_t i = 0; argc > 1 && i < sizeof(operations) / sizeof(operations[0]); i++)
		if (strcmp(argv[1], operations[i].name) == 0 && argc - 2 >= operations[i].args)
			return operations[i].carry_out(argv + 2);
	fprintf(stderr, "fsop: no such operation, or too few arguments\n");
	return 2;
}
