/*
 * swapper ROLE SECONDS ROOT ARGUMENT...: one of the parties of tests/mount/escape.bats, for SECONDS or until SIGTERM. ROOT is
 * changed to by chroot(2) if it is not -, so that no name this process says can lead out of it: what comes from outside all
 * the same, or changes there, was the daemon's doing.
 *
 *   exchange NAME NAME [NAME NAME]...   renameat2(RENAME_EXCHANGE) of each pair, over and over
 *   carry NAME ELSEWHERE                renames there and back; it ends with NAME where it was
 *   work UID SEED                       every operation on names, as UID: below what others exchange, through .., on links
 *
 * work prints how many of each operation succeeded, one line each. Status 1 and a line on stderr where it met what only the
 * outside has: content, an attribute's value or a name that says CANARY.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define MARK "CANARY"

static volatile sig_atomic_t is_told; /* to end */
static struct timespec end;

static void on_term(int sig)
{
	(void)sig;
	is_told = 1;
}

static bool goes_on(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return !is_told &&
	       (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}

static int failed(const char *what)
{
	fprintf(stderr, "swapper: %s: %s\n", what, strerrorname_np(errno));
	return 2;
}

/* Without it the exchangers would keep the directory locked, and the workers hardly come to anything. */
static void let_others(void)
{
	const struct timespec pause = {.tv_nsec = 300L * 1000};
	nanosleep(&pause, NULL);
}

static int exchange(char **name)
{
	long done = 0;
	for (; goes_on(); let_others())
		for (char **pair = name; pair[0] && pair[1]; pair += 2)
			done += renameat2(AT_FDCWD, pair[0], AT_FDCWD, pair[1], RENAME_EXCHANGE) == 0;
	printf("exchanged %ld\n", done);
	return 0;
}

static int carry(char **name)
{
	long done = 0;
	for (; goes_on(); let_others()) {
		done += rename(name[0], name[1]) == 0;
		let_others();
		(void)rename(name[1], name[0]);
	}
	(void)rename(name[1], name[0]);
	printf("carried %ld\n", done);
	return 0;
}

/* A small generator of its own, so that a SEED gives the same names everywhere. */
static uint64_t state;

static unsigned below(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33) % n;
}

/* Directories that others exchange with symlinks, carry off, mount over; some by way of "..", some of them links for good. */
static const char *const dirs[] = {
	"d0",          "d1",    "l0",     "l1",     "moving",    "moving/sub",
	"over",        "up",    "magic",  "cwd",    "d0/sub",    "d1/sub/..",
	"d0/../d1",    "l0/..", "l1/sub", "steady", "moving/..", "moving/sub/../..",
	"steady/../l0"};
static const char *const names[] = {"f0",     "f1",   "f2",   "secret", "sub",
				    "sub/f0", "new0", "new1", "..",     "link"};

static const char *pick(char path[128])
{
	snprintf(path, 128, "/%s/%s", dirs[below(sizeof(dirs) / sizeof(dirs[0]))],
		 names[below(sizeof(names) / sizeof(names[0]))]);
	return path;
}

static const char *pick_dir(char path[128])
{
	snprintf(path, 128, "/%s", dirs[below(sizeof(dirs) / sizeof(dirs[0]))]);
	return path;
}

static bool has_escaped;

static void look(const char *path, const char *what, const char *mem, ssize_t len)
{
	if (len <= 0 || !memmem(mem, (size_t)len, MARK, strlen(MARK)))
		return;
	if (!has_escaped)
		fprintf(stderr, "swapper: %s of %s came from outside\n", what, path);
	has_escaped = true;
}

/* Each: true if it succeeded. */

static bool with_fd(int fd)
{
	return fd >= 0 && close(fd) == 0;
}

static bool op_create(const char *path)
{
	return with_fd(open(path, O_CREAT | O_EXCL | O_WRONLY, 0666));
}

static bool op_write(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | (below(2) ? O_APPEND : 0), 0666);
	bool is_done = fd >= 0 && write(fd, "written", 7) == 7;
	return with_fd(fd) && is_done;
}

static bool op_read(const char *path)
{
	char mem[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, mem, sizeof(mem));
	look(path, "content", mem, n);
	return with_fd(fd) && n >= 0;
}

static bool op_truncate(const char *path)
{
	return below(2) ? truncate(path, below(100)) == 0 : with_fd(open(path, O_WRONLY | O_TRUNC));
}

static bool op_mkdir(const char *path)
{
	return mkdir(path, 0777) == 0;
}

static bool op_remove(const char *path)
{
	return (below(2) ? unlink(path) : rmdir(path)) == 0;
}

static bool op_rename(const char *path)
{
	char to[128];
	return renameat2(AT_FDCWD, path, AT_FDCWD, pick(to), below(3) ? 0 : RENAME_EXCHANGE) == 0;
}

static bool op_link(const char *path)
{
	char to[128];
	return linkat(AT_FDCWD, path, AT_FDCWD, pick(to), below(2) ? AT_SYMLINK_FOLLOW : 0) == 0;
}

static bool op_symlink(const char *path)
{
	static const char *const targets[] = {"f0", "../outside/secret", "../../outside/secret",
					      "../../outside/sub"};
	return symlink(targets[below(sizeof(targets) / sizeof(targets[0]))], path) == 0;
}

/* A socket: nobody who opens it waits, as for a pipe. */
static bool op_mknod(const char *path)
{
	return mknod(path, S_IFSOCK | 0666, 0) == 0;
}

static bool op_chmod(const char *path)
{
	return chmod(path, 0700 + below(64)) == 0;
}

static bool op_chown(const char *path)
{
	uid_t uid = geteuid() == 0 ? below(2000) : (uid_t)-1;
	return fchownat(AT_FDCWD, path, uid, getegid(), below(2) ? AT_SYMLINK_NOFOLLOW : 0) == 0;
}

static bool op_times(const char *path)
{
	const struct timespec at[2] = {{.tv_sec = below(1U << 30)}, {.tv_sec = below(1U << 30)}};
	return utimensat(AT_FDCWD, path, at, below(2) ? AT_SYMLINK_NOFOLLOW : 0) == 0;
}

static bool op_setxattr(const char *path)
{
	if (below(3) == 0)
		return removexattr(path, "user.mark") == 0;
	if (below(3) == 0)
		return lsetxattr(path, "trusted.mark", "x", 1, 0) == 0 || errno == EPERM;
	return setxattr(path, "user.mark", "x", 1, 0) == 0;
}

static bool op_getxattr(const char *path)
{
	char mem[4096];
	ssize_t n = getxattr(path, "user.mark", mem, sizeof(mem));
	look(path, "attribute", mem, n);
	return n >= 0;
}

static bool op_readlink(const char *path)
{
	char mem[4096];
	char dir[128];
	return readlink(below(2) ? pick_dir(dir) : path, mem, sizeof(mem)) > 0;
}

static bool op_stat(const char *path)
{
	struct stat st;
	struct statvfs fs;
	return below(2) ? fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW) == 0
			: statvfs(path, &fs) == 0;
}

static bool op_readdir(const char *path)
{
	char name[128];
	DIR *dir = opendir(below(2) ? pick_dir(name) : path);
	if (!dir)
		return false;
	for (struct dirent *entry; (entry = readdir(dir));)
		look(path, "name", entry->d_name, (ssize_t)strlen(entry->d_name));
	return closedir(dir) == 0;
}

static bool op_tmpfile(const char *path)
{
	char dir[128];
	int fd = open(pick_dir(dir), O_TMPFILE | O_RDWR, 0666);
	bool is_named = fd >= 0 && linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH) == 0;
	return with_fd(fd) || is_named;
}

/* Through a descriptor that may have been carried off meanwhile, and up from there. */
static bool op_at(const char *path)
{
	static const char *const steps[] = {
		"f0", "../f0", "../../secret", "../../../outside/secret", "..", "sub/../../l0/f0"};
	char name[128], mem[4096];
	int dir = open(pick_dir(name), O_PATH | O_DIRECTORY);
	int fd = dir < 0 ? -1 : openat(dir, steps[below(sizeof(steps) / sizeof(steps[0]))], O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, mem, sizeof(mem));
	look(path, "content by a descriptor", mem, n);
	if (dir >= 0)
		close(dir);
	return with_fd(fd);
}

static int work(char **arg)
{
	static struct {
		const char *name;
		bool (*carry_out)(const char *path);
		long done;
	} ops[] = {
		{"create", op_create, 0},     {"write", op_write, 0},
		{"read", op_read, 0},         {"truncate", op_truncate, 0},
		{"mkdir", op_mkdir, 0},       {"remove", op_remove, 0},
		{"rename", op_rename, 0},     {"link", op_link, 0},
		{"symlink", op_symlink, 0},   {"mknod", op_mknod, 0},
		{"chmod", op_chmod, 0},       {"chown", op_chown, 0},
		{"times", op_times, 0},       {"setxattr", op_setxattr, 0},
		{"getxattr", op_getxattr, 0}, {"readlink", op_readlink, 0},
		{"stat", op_stat, 0},         {"readdir", op_readdir, 0},
		{"tmpfile", op_tmpfile, 0},   {"at", op_at, 0},
	};
	uid_t uid = (uid_t)atoi(arg[0]);
	char path[128];
	if (setgroups(0, NULL) < 0 || setgid(uid) < 0 || setuid(uid) < 0)
		return failed("setuid");
	umask(0);
	state = strtoull(arg[1], NULL, 0) * 0x9E3779B97F4A7C15ULL + 1;
	while (goes_on()) {
		size_t i = below(sizeof(ops) / sizeof(ops[0]));
		ops[i].done += ops[i].carry_out(pick(path));
	}
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		printf("%s %ld\n", ops[i].name, ops[i].done);
	return has_escaped ? 1 : 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*play)(char **arg);
	} roles[] = {{"exchange", exchange}, {"carry", carry}, {"work", work}};
	if (argc < 6) {
		fprintf(stderr, "usage: swapper exchange|carry|work SECONDS ROOT ARGUMENT ARGUMENT...\n");
		return 2;
	}
	signal(SIGTERM, on_term);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += atol(argv[2]);
	if (strcmp(argv[3], "-") != 0 && (chroot(argv[3]) < 0 || chdir("/") < 0))
		return failed("chroot");
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (strcmp(argv[1], roles[i].name) == 0)
			return roles[i].play(argv + 4);
	fprintf(stderr, "swapper: no such role\n");
	return 2;
}
