/*
 * base/confine.c, judged by what the kernel says of the thread afterwards (/proc/thread-self/status, prctl(2)) and by what a
 * worker can still do. Each test is a process of its own, for none of it can be taken back. Most of it needs root: those tests
 * are skipped, and say so, without it.
 */
#include "base/confine.h"

#include "child.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "base/cred.h"
#include "base/run.h"

/* The value of a line of the thread's status, as CapEff, in hexadecimal. */
static uint64_t status_of(const char *key)
{
	char line[256];
	uint64_t value = UINT64_MAX;
	FILE *f = fopen("/proc/thread-self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
			value = strtoull(line + strlen(key) + 1, NULL, 16);
	CHECK(f && value != UINT64_MAX);
	if (f)
		(void)fclose(f);
	return value;
}

static bool has(unsigned cap)
{
	return status_of("CapEff") >> cap & 1;
}

/* Takes one capability out of the thread's sets. */
static void lose(unsigned cap)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	CHECK_EQ(syscall(SYS_capget, &head, data), 0);
	data[cap / 32].effective &= ~(1U << cap % 32);
	data[cap / 32].permitted &= ~(1U << cap % 32);
	data[cap / 32].inheritable = 0;
	CHECK_EQ(syscall(SYS_capset, &head, data), 0);
}

/* Makes one capability ambient, which every program executed would have. */
static void make_ambient(unsigned cap)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	CHECK_EQ(syscall(SYS_capget, &head, data), 0);
	data[cap / 32].inheritable |= 1U << cap % 32;
	CHECK_EQ(syscall(SYS_capset, &head, data), 0);
	CHECK_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0), 0);
}

/* What most tests need: root's own capabilities, without which nothing would be dropped. */
static bool is_root(void)
{
	return geteuid() == 0 && has(CAP_SYS_ADMIN) && has(CAP_SETPCAP) && has(CAP_CHOWN);
}

static void check_sets(void *arg)
{
	uint64_t before = status_of("CapEff"), bound = status_of("CapBnd");

	(void)arg;
	make_ambient(CAP_NET_ADMIN);
	make_ambient(CAP_CHOWN);
	CHECK_EQ(confine_process(), 0);
	CHECK_EQ(status_of("CapPrm"), before & confine_kept());
	CHECK_EQ(status_of("CapEff"), before & confine_kept());
	CHECK_EQ(status_of("CapBnd"), bound & confine_kept());
	CHECK_EQ(status_of("CapInh"), 0);
	CHECK_EQ(status_of("CapAmb"), 0);
	CHECK_EQ(confine_process(), 0);
	CHECK_EQ(status_of("CapEff"), before & confine_kept());
}

TEST(what_serving_does_not_need_is_gone_from_every_set)
{
	if (!is_root())
		SKIP("needs root");
	CHECK(!(confine_kept() & (1ULL << CAP_SETPCAP | 1ULL << CAP_SYS_MODULE | 1ULL << CAP_NET_ADMIN)));
	CHECK(child_run(false, check_sets, NULL));
}

static void *work(void *name)
{
	struct cred cred;
	struct stat st = {0};
	const char *path = name;

	CHECK_EQ(cred_thread_init(&cred), 0);
	CHECK(cred.can_switch && cred.has_nofixup && cred.may_fsetid);
	CHECK(!(status_of("CapPrm") & ~confine_kept()));
	cred_become(&cred, 12345, 23456, 0);
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && fstat(fd, &st) == 0);
	CHECK_EQ(st.st_uid, 12345);
	CHECK_EQ(st.st_gid, 23456);
	CHECK_EQ(fchown(fd, 1, 1), 0); /* under the other's fsuid the capabilities are still there */
	close(fd);
	return NULL;
}

static void check_worker(void *arg)
{
	pthread_t thread;
	char dir[64], path[80];
	const char *base = getenv("TMPDIR");

	(void)arg;
	snprintf(dir, sizeof(dir), "%.40s/test_confine.XXXXXX", base ? base : "/tmp");
	REQUIRE(mkdtemp(dir));
	CHECK_EQ(chmod(dir, 0777), 0);
	snprintf(path, sizeof(path), "%s/made", dir);
	CHECK_EQ(confine_process(), 0);
	CHECK_EQ(pthread_create(&thread, NULL, work, path), 0);
	pthread_join(thread, NULL);
	CHECK_EQ(unlink(path), 0);
	CHECK_EQ(rmdir(dir), 0);
}

TEST(a_worker_started_afterwards_can_still_be_other_users)
{
	if (!is_root())
		SKIP("needs root");
	CHECK(child_run(false, check_worker, NULL));
}

/* Whether a program executed now has a capability; grep's status is 0 if the line is there. */
static bool gives_rights(void)
{
	const char *argv[] = {"grep", "-q", "^CapPrm:[[:space:]]*0*$", "/proc/self/status", NULL};
	int status = run_silently(argv);

	CHECK(status == 0 || status == 1);
	return status != 0;
}

static void check_exec(void *arg)
{
	(void)arg;
	CHECK(gives_rights());
	CHECK_EQ(confine_process(), 0);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	CHECK(!gives_rights());
	CHECK(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) < 0);
}

TEST(a_program_executed_afterwards_has_no_rights)
{
	if (!is_root())
		SKIP("needs root");
	CHECK(child_run(false, check_exec, NULL));
}

static void check_helper(void *arg)
{
	(void)arg;
	lose(CAP_SYS_ADMIN);
	CHECK_EQ(confine_process(), 0);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	CHECK(!(prctl(PR_GET_SECUREBITS) & SECBIT_NOROOT));
	CHECK(!(status_of("CapEff") & ~confine_kept()));
}

TEST(who_cannot_unmount_may_still_run_the_helper_that_can)
{
	if (!is_root())
		SKIP("needs root");
	CHECK(child_run(false, check_helper, NULL));
}

static void check_bound(void *arg)
{
	uint64_t bound = status_of("CapBnd");

	(void)arg;
	lose(CAP_SETPCAP);
	CHECK_EQ(confine_process(), 0);
	CHECK_EQ(status_of("CapBnd"), bound);
	CHECK(!(status_of("CapPrm") & ~confine_kept()));
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

TEST(without_cap_setpcap_all_but_the_bounding_set_is_limited)
{
	if (!is_root())
		SKIP("needs root");
	CHECK(child_run(false, check_bound, NULL));
}

static void check_user(void *arg)
{
	uint64_t bound = status_of("CapBnd");

	(void)arg;
	CHECK_EQ(confine_process(), 0);
	CHECK_EQ(status_of("CapBnd"), bound);
	CHECK_EQ(status_of("CapPrm"), 0);
	CHECK_EQ(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
}

TEST(a_user_has_nothing_to_lose_and_keeps_the_way_to_fusermount3)
{
	if (!child_run(geteuid() == 0, check_user, NULL))
		SKIP("cannot become another user");
}
