/*
 * base/cred.c, judged by what the filesystem does: each test runs as a worker of its own (a
 * thread, or a process where it spoils more than a thread) and creates files in a directory of its
 * own. Most of it needs root: those tests are skipped, and say so, without it.
 */
#include "base/cred.h"

#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define has_fsetid(c) ((c)->caps_effective >> CAP_FSETID & 1)

enum { USER = 12345, GROUP = 23456, OTHER_GROUP = 34567 };

static char dir[64]; /* the running test's directory, mode 0700, of the test's user */
static int dir_fd;

/*
 * Can files be made in other users' names, and set-id bits be kept? Not by a user, nor by root of a
 * namespace that knows no other user, nor by one in a container without CAP_FSETID.
 */
static bool is_root(void)
{
	uid_t self = (uid_t)setfsuid(USER);
	bool has_taken = (uid_t)setfsuid(self) == USER;
	return has_taken && prctl(PR_CAPBSET_READ, CAP_FSETID, 0, 0, 0) == 1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

struct job {
	void (*body)(void);
};

static void *run_job(void *job)
{
	((struct job *)job)->body();
	return NULL;
}

/* Runs body in a thread, in a fresh directory that is removed afterwards. */
static void as_worker(void (*body)(void))
{
	struct job job = {body};
	pthread_t thread;
	const char *base = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%.40s/test_cred.XXXXXX", base ? base : "/tmp");
	REQUIRE(mkdtemp(dir));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(dir_fd >= 0);
	CHECK_EQ(pthread_create(&thread, NULL, run_job, &job), 0);
	pthread_join(thread, NULL);
	close(dir_fd);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/*
 * Runs body in a process of its own, for what a thread cannot take back; its failures count
 * here.
 */
static void as_process(void (*body)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		body();
		fflush(stdout);
		_exit(atomic_load(&check_n_failed) ? 1 : 0);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

static mode_t create(const char *name, mode_t mode)
{
	struct stat st = {0};
	int fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);

	CHECK(fd >= 0);
	CHECK(fd < 0 || fstat(fd, &st) == 0);
	if (fd >= 0)
		close(fd);
	return st.st_mode & 07777;
}

static struct stat stat_of(const char *name)
{
	struct stat st = {0};
	CHECK_EQ(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	return st;
}

/* A file of root's with both set-id bits, written to and truncated: its mode then. */
static mode_t mode_after_change(const char *name)
{
	int fd = openat(dir_fd, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && fchmod(fd, 06777) == 0);
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	mode_t after_write = stat_of(name).st_mode & 07777;
	CHECK_EQ(fchmod(fd, 06777), 0);
	CHECK_EQ(ftruncate(fd, 0), 0);
	CHECK_EQ(stat_of(name).st_mode & 07777, after_write);
	close(fd);
	return after_write;
}

static void init_body(void)
{
	struct cred c;

	CHECK_EQ(cred_thread_init(&c), 0);
	CHECK_EQ(c.umask, 0);
	CHECK_EQ(c.fsuid, geteuid());
	CHECK_EQ(c.fsgid, getegid());
	CHECK_EQ(c.may_fsetid, has_fsetid(&c));
	CHECK_EQ(create("open", 0666), 0666);
	cred_become(&c, c.fsuid, c.fsgid, 027);
	CHECK_EQ(create("masked", 0666), 0640);
	cred_become(&c, c.fsuid, c.fsgid, 07077);
	CHECK_EQ(create("high_bits_are_no_mask", 0666), 0600);
	cred_become_nomask(&c, c.fsuid, c.fsgid);
	CHECK_EQ(create("bare", 0666), 0666);
}

TEST(umask_is_the_threads_own)
{
	mode_t before = umask(012);

	as_worker(init_body);
	CHECK_EQ(umask(before), 012);
}

static void become_body(void)
{
	struct cred c;
	struct stat st;

	CHECK_EQ(cred_thread_init(&c), 0);
	CHECK(c.can_switch);
	/* The directory is root's alone: only kept capabilities let the user's files into it. */
	cred_become(&c, USER, GROUP, 022);
	CHECK_EQ(create("file", 0666), 0644);
	CHECK_EQ(mkdirat(dir_fd, "dir", 0777), 0);
	CHECK_EQ(symlinkat("x", dir_fd, "link"), 0);
	CHECK_EQ(mknodat(dir_fd, "fifo", S_IFIFO | 0666, 0), 0);
	static const char *const names[] = {"file", "dir", "link", "fifo"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		st = stat_of(names[i]);
		CHECK_EQ(st.st_uid, USER);
		CHECK_EQ(st.st_gid, GROUP);
	}
	cred_become(&c, 0, OTHER_GROUP, 0);
	CHECK_EQ(create("root", 0666), 0666);
	CHECK_EQ(stat_of("root").st_uid, 0);
	CHECK_EQ(stat_of("root").st_gid, OTHER_GROUP);
	cred_become(&c, USER, GROUP, 0);
}

TEST(files_belong_to_the_caller)
{
	if (!is_root())
		SKIP("not root, or not all of it");
	as_worker(become_body);
	CHECK_EQ(setfsuid((uid_t)-1), 0); /* asked, not set: the other threads are as they were */
	CHECK_EQ(setfsgid((gid_t)-1), 0);
}

static void setgid_body(void)
{
	struct cred c;

	CHECK_EQ(cred_thread_init(&c), 0);
	CHECK_EQ(mkdirat(dir_fd, "shared", 0777), 0);
	CHECK_EQ(fchownat(dir_fd, "shared", 0, OTHER_GROUP, 0), 0);
	CHECK_EQ(fchmodat(dir_fd, "shared", 02777, 0), 0);
	cred_become(&c, USER, GROUP, 0);
	CHECK_EQ(create("shared/file", 0666), 0666);
	CHECK_EQ(stat_of("shared/file").st_uid, USER);
	CHECK_EQ(stat_of("shared/file").st_gid, OTHER_GROUP);
	CHECK_EQ(mkdirat(dir_fd, "shared/sub", 0755), 0);
	CHECK_EQ(stat_of("shared/sub").st_mode & 07777, 02755);
	CHECK_EQ(stat_of("shared/sub").st_gid, OTHER_GROUP);
	/*
	 * A stranger to the group: with CAP_FSETID the mode is as given, without it S_ISGID
	 * goes.
	 */
	CHECK_EQ(create("shared/kept", 02775), 02775);
	cred_set_fsetid(&c, false);
	CHECK_EQ(create("shared/taken", 02775), 0775);
	cred_set_fsetid(&c, true);
	CHECK_EQ(create("shared/kept_again", 02775), 02775);
}

TEST(setgid_directories_hand_on_their_group)
{
	if (!is_root())
		SKIP("not root, or not all of it");
	as_worker(setgid_body);
}

static void fsetid_body(void)
{
	struct cred c;

	CHECK_EQ(cred_thread_init(&c), 0);
	CHECK(has_fsetid(&c));
	CHECK_EQ(mode_after_change("on"), 06777);
	cred_set_fsetid(&c, false);
	CHECK(!has_fsetid(&c));
	CHECK_EQ(mode_after_change("off"), 0777);
	/* It is its own state: changing users does not bring it back, nor take it. */
	cred_become(&c, USER, GROUP, 0);
	CHECK_EQ(mode_after_change("off_user"), 0777);
	cred_become(&c, 0, 0, 0);
	CHECK_EQ(mode_after_change("off_root"), 0777);
	cred_become(&c, USER, GROUP, 0);
	cred_set_fsetid(&c, true);
	CHECK_EQ(mode_after_change("on_user"), 06777);
	cred_become(&c, 0, 0, 0);
	CHECK_EQ(mode_after_change("on_root"), 06777);
}

TEST(set_id_bits_follow_fsetid)
{
	if (!is_root())
		SKIP("not root, or not all of it");
	as_worker(fsetid_body);
	as_worker(init_body); /* another thread starts with it on */
}

/*
 * The kernel's way of taking and giving capabilities with fsuid, locked in: the same must come
 * out.
 */
static void fixup_body(void)
{
	struct cred c;

	/* Refused without CAP_SETPCAP, but then cred_thread_init() cannot set the bit either. */
	prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP_LOCKED, 0, 0, 0);
	CHECK_EQ(cred_thread_init(&c), 0);
	CHECK(c.can_switch && !c.has_nofixup);
	as_worker(become_body);
	as_worker(setgid_body);
	as_worker(fsetid_body);
}

TEST(capabilities_survive_without_securebits)
{
	if (!is_root())
		SKIP("not root, or not all of it");
	as_process(fixup_body);
}

static void unprivileged_worker_body(void)
{
	struct cred c;

	CHECK_EQ(cred_thread_init(&c), 0);
	CHECK(!c.can_switch && !c.has_nofixup && !c.may_fsetid && !has_fsetid(&c));
	cred_become(&c, 0, 0, 027);
	cred_set_fsetid(&c, true);
	CHECK(!has_fsetid(&c));
	CHECK_EQ(create("mine", 0666), 0640);
	CHECK_EQ(stat_of("mine").st_uid, geteuid());
	CHECK_EQ(stat_of("mine").st_gid, getegid());
}

static void unprivileged_body(void)
{
	if (is_root()) {
		CHECK_EQ(setresgid(GROUP, GROUP, GROUP), 0);
		CHECK_EQ(setresuid(USER, USER, USER), 0);
	}
	as_worker(unprivileged_worker_body);
}

TEST(a_user_stays_himself)
{
	if (geteuid() == 0 && !is_root())
		SKIP("root of sorts: has no user to become, and capabilities");
	as_process(unprivileged_body);
}

/* From now on a call that changes what cred.c owns ends the process. */
static bool forbid_changes(void)
{
	static const int calls[] = {SYS_setfsuid, SYS_setfsgid, SYS_umask, SYS_capset, SYS_prctl};
	enum { COUNT = sizeof(calls) / sizeof(calls[0]) };
	struct sock_filter code[2 * COUNT + 2] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))};
	struct sock_fprog filter = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

	for (size_t i = 0; i < COUNT; i++) {
		code[2 * i + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
							       (unsigned)calls[i], 0, 1);
		code[2 * i + 2] =
			(struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	code[2 * COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

static void lazy_body(void)
{
	struct cred c;
	uid_t uid = is_root() ? USER : geteuid();
	gid_t gid = is_root() ? GROUP : getegid();

	CHECK_EQ(cred_thread_init(&c), 0);
	cred_become(&c, uid, gid, 022);
	cred_set_fsetid(&c, false);
	CHECK(forbid_changes());
	for (int i = 0; i < 3; i++) {
		cred_become(&c, uid, gid, 022);
		cred_set_fsetid(&c, false);
	}
}

static void not_lazy_body(void)
{
	struct cred c;

	CHECK_EQ(cred_thread_init(&c), 0);
	CHECK(forbid_changes());
	cred_become(&c, c.fsuid, c.fsgid, 022);
	_exit(0);
}

TEST(unchanged_state_costs_no_system_call)
{
	int status = 0;

	as_process(lazy_body);
	/* The judge works: a call that does change something is killed. */
	pid_t pid = fork();
	if (pid == 0)
		not_lazy_body();
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

/* user::rwx group::rwx other::r-x, as acl(5) stores it. */
static bool set_default_acl(const char *path)
{
	static const struct {
		uint32_t version;
		struct {
			uint16_t tag, perm;
			uint32_t id;
		} entries[3];
	} acl = {2, {{1, 7, UINT32_MAX}, {4, 7, UINT32_MAX}, {32, 5, UINT32_MAX}}};

	return setxattr(path, "system.posix_acl_default", &acl, sizeof(acl), 0) == 0;
}

static void acl_body(void)
{
	struct cred c;

	if (!set_default_acl(dir)) {
		printf("# no ACLs in %s: not tested\n", dir);
		return;
	}
	CHECK_EQ(cred_thread_init(&c), 0);
	cred_become(&c, c.fsuid, c.fsgid, 077);
	CHECK_EQ(create("by_acl", 0666), 0664);
}

TEST(a_default_acl_replaces_the_umask)
{
	as_worker(acl_body);
}
