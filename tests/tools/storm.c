/*
 * storm [--seed N] [--procs N] [--ops N] DIR: so many processes (16) do so many random operations each (1000) on the names of
 * one tree below DIR, which they share, so that names appear, change and vanish under them all the time. An errno that no race
 * explains, a name or content nobody wrote, or a result that is wrong in a process' own directory ends it with the operation,
 * the seed and status 1; so does a kind of operation that never succeeded, where there were enough of it. The seed decides what each
 * process does, the machine in which order. DIR has to be empty.
 */
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "storm_fs.h"

static void op_create(void)
{
	char name[NAME_BYTES];
	static const int flags[] = {0, O_EXCL, O_TRUNC, O_APPEND, O_DIRECT};
	int fd = openat(root_fd, pick_name(name), O_RDWR | O_CREAT | O_NONBLOCK | flags[below(5)], 0644);
	if (came_to_pass(fd, name, NULL, "EEXIST EISDIR ENOENT ENOTDIR ELOOP EINVAL"))
		close(fd);
}

static void op_write(void)
{
	char name[NAME_BYTES];
	int fd = openat(root_fd, pick_name(name), O_WRONLY | O_NONBLOCK | (one_in(4) ? O_APPEND : 0));
	if (!came_to_pass(fd, name, NULL, "ENOENT ENOTDIR ELOOP EISDIR ENXIO"))
		return;
	if (is_regular(fd, name)) {
		size_t len = fill_words();
		came_to_pass((int)pwrite(fd, words, len, (off_t)(below(2000) * 8)), name, NULL, "");
	}
	close(fd);
}

static void op_read(void)
{
	char name[NAME_BYTES];
	int fd = openat(root_fd, pick_name(name), O_RDONLY | O_NONBLOCK);
	if (!came_to_pass(fd, name, NULL, "ENOENT ENOTDIR ELOOP"))
		return;
	if (is_regular(fd, name)) {
		ssize_t n = pread(fd, words, sizeof(words), (off_t)(below(2000) * 8));
		if (came_to_pass((int)n, name, NULL, ""))
			check_words((size_t)n, name);
	}
	close(fd);
}

static void op_truncate(void)
{
	char name[NAME_BYTES];
	int fd = openat(root_fd, pick_name(name), O_WRONLY | O_NONBLOCK);
	if (!came_to_pass(fd, name, NULL, "ENOENT ENOTDIR ELOOP EISDIR ENXIO"))
		return;
	if (is_regular(fd, name))
		came_to_pass(ftruncate(fd, (off_t)(below(4000) * 8)), name, NULL, "");
	close(fd);
}

static void op_rename(void)
{
	char from[NAME_BYTES], to[NAME_BYTES];
	static const unsigned flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
	int rc = renameat2(root_fd, pick_name(from), root_fd, pick_name(to), flags[below(4)]);
	came_to_pass(rc, from, to, "ENOENT ENOTDIR EISDIR ENOTEMPTY EEXIST EINVAL ELOOP");
}

static void op_link(void)
{
	char from[NAME_BYTES], to[NAME_BYTES];
	int rc = linkat(root_fd, pick_name(from), root_fd, pick_name(to),
			one_in(4) ? AT_SYMLINK_FOLLOW : 0);
	came_to_pass(rc, from, to, "ENOENT ENOTDIR EEXIST EPERM ELOOP");
}

/* To a neighbour, or one below it: never out of the tree. */
static void op_symlink(void)
{
	char target[NAME_BYTES], name[NAME_BYTES];
	pick_name(target);
	int rc = symlinkat(target, root_fd, pick_name(name));
	came_to_pass(rc, name, target, "EEXIST ENOENT ENOTDIR ELOOP");
}

static void op_readlink(void)
{
	char name[NAME_BYTES], target[NAME_BYTES * 2];
	ssize_t n = readlinkat(root_fd, pick_name(name), target, sizeof(target) - 1);
	if (!came_to_pass((int)n, name, NULL, "EINVAL ENOENT ENOTDIR ELOOP"))
		return;
	target[n] = '\0';
	if (strspn(target, "nd./0123456789") != (size_t)n)
		fail("readlink %s gave '%s'", name, target);
}

static void op_unlink(void)
{
	char name[NAME_BYTES];
	came_to_pass(unlinkat(root_fd, pick_name(name), 0), name, NULL, "ENOENT ENOTDIR EISDIR ELOOP");
}

static void op_mkdir(void)
{
	char name[NAME_BYTES];
	const char *dir = one_in(2) ? pick_dir(name) : pick_name(name);
	came_to_pass(mkdirat(root_fd, dir, 0755), name, NULL, "EEXIST ENOENT ENOTDIR ELOOP");
}

static void op_rmdir(void)
{
	char name[NAME_BYTES];
	came_to_pass(unlinkat(root_fd, pick_name(name), AT_REMOVEDIR), name, NULL,
		     "ENOENT ENOTDIR ENOTEMPTY ELOOP");
}

static void op_readdir(void)
{
	char name[NAME_BYTES];
	int fd = openat(root_fd, pick_dir(name), O_RDONLY | O_DIRECTORY);
	if (!came_to_pass(fd, name, NULL, "ENOENT ENOTDIR ELOOP"))
		return;
	DIR *dir = fdopendir(fd);
	if (!dir)
		fail("fdopendir %s", name);
	errno = 0;
	for (struct dirent *e; (e = readdir(dir)); errno = 0)
		if (strncmp(e->d_name, "own", 3) != 0 &&
		    (e->d_name[strspn(e->d_name, "nd.0123456789")] != '\0' || strlen(e->d_name) > 3))
			fail("%s has an entry '%s'", name, e->d_name);
	came_to_pass(errno ? -1 : 0, name, NULL, "");
	closedir(dir);
}

static void op_chmod(void)
{
	char name[NAME_BYTES];
	mode_t mode = 0600 | (mode_t)below(0200); /* no sticky bit: what it forbids depends on sysctls */
	mode |= 0100 | (one_in(4) ? 06000 : 0);
	came_to_pass(fchmodat(root_fd, pick_name(name), mode, 0), name, NULL, "ENOENT ENOTDIR ELOOP");
}

static void op_chown(void)
{
	char name[NAME_BYTES];
	if (geteuid() != 0)
		return;
	int rc = fchownat(root_fd, pick_name(name), (uid_t)below(5), (gid_t)below(5), AT_SYMLINK_NOFOLLOW);
	came_to_pass(rc, name, NULL, "ENOENT ENOTDIR ELOOP");
}

static void op_utimens(void)
{
	char name[NAME_BYTES];
	const struct timespec times[2] = {
		{.tv_sec = (time_t)below(2000000000), .tv_nsec = (long)below(1000000000)},
		{.tv_sec = (time_t)below(2000000000),
		 .tv_nsec = one_in(3) ? UTIME_NOW : (long)below(1000000000)},
	};
	int rc = utimensat(root_fd, pick_name(name), times, one_in(2) ? AT_SYMLINK_NOFOLLOW : 0);
	came_to_pass(rc, name, NULL, "ENOENT ENOTDIR ELOOP");
}

/* By descriptor, since there is no *at() of these; O_NONBLOCK because of fifos, whose user attributes are refused. */
static void op_xattr(void)
{
	static const char *const attrs[] = {"user.a", "user.b", "user.c"};
	char name[NAME_BYTES], value[200];
	int fd = openat(root_fd, pick_name(name), O_RDONLY | O_NONBLOCK), rc;
	if (!came_to_pass(fd, name, NULL, "ENOENT ENOTDIR ELOOP"))
		return;
	memset(value, 'a' + (int)below(26), sizeof(value));
	const char *attr = attrs[below(3)];
	switch (below(4)) {
	case 0:
		rc = fremovexattr(fd, attr);
		break;
	case 1:
		rc = (int)fgetxattr(fd, attr, value, sizeof(value));
		for (int i = 1; i < rc; i++)
			if (value[i] != value[0])
				fail("%s of %s is torn", attr, name);
		break;
	default:
		rc = fsetxattr(fd, attr, value, below(sizeof(value)), (int)below(3));
	}
	came_to_pass(rc, name, attr, "ENODATA EEXIST EPERM");
	close(fd);
}

static void op_mkfifo(void)
{
	char name[NAME_BYTES];
	int rc = mknodat(root_fd, pick_name(name), S_IFIFO | 0644, 0);
	came_to_pass(rc, name, NULL, "EEXIST ENOENT ENOTDIR ELOOP");
}

static void op_stat(void)
{
	char name[NAME_BYTES];
	struct statx stx;
	int rc = statx(root_fd, pick_name(name), one_in(2) ? AT_SYMLINK_NOFOLLOW : 0,
		       STATX_BASIC_STATS | STATX_BTIME, &stx);
	if (!came_to_pass(rc, name, NULL, "ENOENT ENOTDIR ELOOP"))
		return;
	if (S_ISREG(stx.stx_mode) && stx.stx_size % 8 != 0)
		fail("%s has size %llu", name, (unsigned long long)stx.stx_size);
}

/* A file without a name, which gets one when it is complete. */
static void op_tmpfile(void)
{
	char dir[NAME_BYTES], name[NAME_BYTES], proc[64];
	int fd = openat(root_fd, pick_dir(dir), O_TMPFILE | O_RDWR, 0640);
	/* EPERM is ext4's word for a directory that is removed while the file is made in it (__ext4_new_inode()). */
	if (!came_to_pass(fd, dir, NULL, "ENOENT ENOTDIR ELOOP EPERM"))
		return;
	size_t len = fill_words();
	came_to_pass((int)write(fd, words, len), dir, NULL, "");
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	int rc = linkat(AT_FDCWD, proc, root_fd, pick_name(name), AT_SYMLINK_FOLLOW);
	came_to_pass(rc, dir, name, "ENOENT ENOTDIR EEXIST ELOOP");
	close(fd);
}

/* In a directory that is this process' own every result is known, whatever the others do. */
static void op_own(void)
{
	char dir[NAME_BYTES], a[NAME_BYTES * 2], b[NAME_BYTES * 2];
	struct stat st;
	const struct timespec times[2] = {{.tv_sec = 1000000000, .tv_nsec = 123456789},
					  {.tv_sec = (time_t)below(2000000000), .tv_nsec = 987654321}};
	snprintf(dir, sizeof(dir), "own%d", (int)getpid());
	snprintf(a, sizeof(a), "%s/a", dir);
	snprintf(b, sizeof(b), "%s/b", dir);
	expect(mkdirat(root_fd, dir, 0700), dir, 0);
	expect(unlinkat(root_fd, a, 0), a, ENOENT);
	int fd = openat(root_fd, a, O_RDWR | O_CREAT | O_EXCL, 0600);
	expect(fd < 0 ? fd : close(fd), a, 0);
	expect(linkat(root_fd, a, root_fd, b, 0), b, 0);
	expect(linkat(root_fd, a, root_fd, b, 0), b, EEXIST);
	expect(fchmodat(root_fd, a, 0640, 0), a, 0);
	expect(utimensat(root_fd, b, times, 0), b, 0);
	expect(fstatat(root_fd, one_in(2) ? a : b, &st, 0), a, 0);
	if (st.st_nlink != 2 || st.st_mode != (S_IFREG | 0640) ||
	    st.st_mtim.tv_sec != times[1].tv_sec || st.st_mtim.tv_nsec != times[1].tv_nsec)
		fail("%s: %u links, mode %o, mtime %lld.%09ld", a, (unsigned)st.st_nlink,
		     st.st_mode, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
	expect(unlinkat(root_fd, dir, AT_REMOVEDIR), dir, ENOTEMPTY);
	expect(unlinkat(root_fd, a, 0), a, 0);
	expect(renameat2(root_fd, b, root_fd, a, RENAME_EXCHANGE), b, ENOENT);
	expect(renameat2(root_fd, b, root_fd, a, RENAME_NOREPLACE), b, 0);
	expect(fstatat(root_fd, b, &st, 0), b, ENOENT);
	expect(fstatat(root_fd, a, &st, 0), a, 0);
	if (st.st_nlink != 1)
		fail("%s has %u links", a, (unsigned)st.st_nlink);
	expect(unlinkat(root_fd, a, 0), a, 0);
	expect(unlinkat(root_fd, dir, AT_REMOVEDIR), dir, 0);
	expect(fstatat(root_fd, dir, &st, 0), dir, ENOENT);
	is_success = true;
}

static const struct operation {
	const char *name;
	void (*carry_out)(void);
} operations[] = {
	{"create", op_create},     {"create", op_create},     {"write", op_write},
	{"read", op_read},         {"truncate", op_truncate}, {"rename", op_rename},
	{"rename", op_rename},     {"link", op_link},         {"symlink", op_symlink},
	{"readlink", op_readlink}, {"unlink", op_unlink},     {"mkdir", op_mkdir},
	{"mkdir", op_mkdir},       {"rmdir", op_rmdir},       {"readdir", op_readdir},
	{"chmod", op_chmod},       {"chown", op_chown},       {"utimens", op_utimens},
	{"xattr", op_xattr},       {"mkfifo", op_mkfifo},     {"stat", op_stat},
	{"tmpfile", op_tmpfile},   {"own", op_own},
};

#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static _Atomic uint64_t *successes; /* of each operation, of all processes together */

static void rage(unsigned process, uint64_t ops)
{
	random_state = seed * 1000003 + process;
	for (op_number = 1; op_number <= ops; op_number++) {
		size_t i = below(OPERATIONS);
		op_name = operations[i].name;
		is_success = false;
		operations[i].carry_out();
		if (is_success)
			atomic_fetch_add(&successes[i], 1);
	}
}

static pid_t start(unsigned process, uint64_t ops)
{
	pid_t parent = getpid(), child = fork();
	if (child < 0)
		fail("fork");
	if (child > 0)
		return child;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
	rage(process, ops);
	_exit(0);
}

/* Whether each kind of operation has succeeded now and then. */
static int judge(uint64_t tries)
{
	int status = 0;
	for (size_t i = 0; i < OPERATIONS; i++) {
		printf("%s%s %llu", i ? ", " : "", operations[i].name, (unsigned long long)successes[i]);
		if (successes[i] == 0 && tries / OPERATIONS > 200 &&
		    (geteuid() == 0 || operations[i].carry_out != op_chown))
			status = 1;
	}
	printf("%s\n", status ? "; what never succeeds tests nothing" : "");
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},
		{"procs", required_argument, NULL, 'p'},
		{"ops", required_argument, NULL, 'o'},
		{0},
	};
	uint64_t ops = 1000;
	unsigned processes = 16;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	seed = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == '?')
			return 2;
		uint64_t value = strtoull(optarg, NULL, 10);
		if (c == 's')
			seed = value;
		else if (c == 'p')
			processes = (unsigned)value;
		else
			ops = value;
	}
	if (optind != argc - 1)
		return 2;
	printf("storm --seed %llu --procs %u --ops %llu\n", (unsigned long long)seed, processes,
	       (unsigned long long)ops);
	fflush(stdout);
	root_fd = open(argv[optind], O_RDONLY | O_DIRECTORY);
	successes = mmap(NULL, sizeof(*successes) * OPERATIONS, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (root_fd < 0 || successes == MAP_FAILED)
		fail("%s", argv[optind]);
	for (unsigned i = 0; i < processes; i++)
		start(i, ops);
	int bad = 0;
	for (int status; wait(&status) > 0;)
		bad |= status != 0;
	return bad ? 1 : judge(ops * processes);
}
