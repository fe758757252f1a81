/* data/worker: the area's geometry, and pipes that are large enough or not there. */
#include "check.h"
#include "child.h"
#include "data/worker.h"
#include "rig.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#define PAGE   4096UL
#define KIB    1024UL
#define HEADER 80 /* the longer one: fuse_in_header and fuse_write_in */

static size_t left_in(const struct pipe *p)
{
	int n = -1;

	return ioctl(p->rd, FIONREAD, &n) == 0 ? (size_t)n : SIZE_MAX;
}

/* What the kernel says of its size. */
static size_t real_slots(const struct pipe *p)
{
	int bytes = fcntl(p->wr, F_GETPIPE_SZ);

	return bytes > 0 ? (size_t)bytes / PAGE : 0;
}

static size_t pipe_limit(const char *name)
{
	char path[64];
	unsigned long value = 0;

	snprintf(path, sizeof(path), "/proc/sys/fs/%s", name);
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	char line[32] = "";
	if (fgets(line, sizeof(line), file))
		value = strtoul(line, NULL, 10);
	(void)fclose(file);
	return value;
}

TEST(the_area_has_its_parts)
{
	static const size_t sizes[] = {PAGE, 128 * KIB, 512 * KIB, 1UL << 20};
	size_t n_fds = backing_n_fds();

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct worker w;
		REQUIRE(worker_init(&w, sizes[i], false) == 0);
		CHECK_EQ((uintptr_t)w.data % PAGE, 0);
		CHECK(w.data == w.area + WORKER_HEADROOM);
		CHECK(w.data_bytes >= sizes[i] + WORKER_SLACK);
		CHECK(w.scratch == w.data + w.data_bytes);
		CHECK_EQ(w.scratch_bytes, WORKER_SCRATCH);
		CHECK(w.scratch + w.scratch_bytes == w.area + w.area_bytes);
		memset(w.area, 1, w.area_bytes); /* all of it is there */
		CHECK(w.pipe.rd < 0 && w.pipe.wr < 0 && w.spare.rd < 0 && w.spare.wr < 0);
		CHECK_EQ(w.syscalls, 0);
		worker_fini(&w);
		CHECK(!w.area);
	}
	CHECK_EQ(backing_n_fds(), n_fds);
}

TEST(what_cannot_be_mapped_is_an_error)
{
	struct worker w;
	size_t n_fds = backing_n_fds();

	CHECK_EQ(worker_init(&w, 1ULL << 60, true), -ENOMEM);
	CHECK_EQ(backing_n_fds(), n_fds);
}

/* The longest message: a header, and max_io off the page grid; nothing may block a lone thread. */
static void check_pipe_takes(const struct pipe *p, unsigned char *mem, size_t io_bytes)
{
	static unsigned char header[HEADER];
	struct iovec iov[2] = {{.iov_base = header, .iov_len = sizeof(header)},
			       {.iov_base = mem + 77, .iov_len = io_bytes}};

	CHECK_EQ(vmsplice(p->wr, iov, 2, SPLICE_F_NONBLOCK), sizeof(header) + io_bytes);
}

TEST(the_pipe_takes_the_largest_message)
{
	static const size_t wanted[] = {PAGE, 3 * PAGE, 128 * KIB, 500 * KIB, 512 * KIB, 1UL << 20};
	size_t n_fds = backing_n_fds();

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct worker w;
		uint64_t max_io = pipe_max_io(wanted[i]);
		CHECK(max_io > 0 && max_io <= wanted[i] && max_io % PAGE == 0);
		REQUIRE(worker_init(&w, max_io, true) == 0);
		if (w.pipe.rd < 0) {
			worker_fini(&w);
			SKIP("this user has no room for pipes");
		}
		CHECK_EQ(w.pipe.slots, real_slots(&w.pipe));
		CHECK(fcntl(w.pipe.rd, F_GETFD) & fcntl(w.pipe.wr, F_GETFD) & FD_CLOEXEC);
		check_pipe_takes(&w.pipe, w.data, max_io);
		CHECK(w.spare.rd < 0);
		CHECK_EQ(backing_n_fds(), n_fds + 2);
		worker_fini(&w);
		CHECK_EQ(backing_n_fds(), n_fds);
	}
}

TEST(pipes_grow_and_do_not_shrink)
{
	struct pipe p = {.rd = -1, .wr = -1};

	REQUIRE(pipe_open(&p, 4) == 0);
	CHECK(p.slots >= 4);
	CHECK_EQ(p.slots, real_slots(&p));
	int rd = p.rd, wr = p.wr;
	CHECK_EQ(write(p.wr, "kept", 4), 4);
	CHECK_EQ(pipe_open(&p, 64), 0);
	CHECK(p.slots >= 64);
	CHECK_EQ(p.slots, real_slots(&p));
	CHECK_EQ(pipe_open(&p, 8), 0);
	CHECK(p.slots >= 64);
	CHECK(p.rd == rd && p.wr == wr);
	CHECK_EQ(left_in(&p), 4);
	pipe_close(&p);
	CHECK(p.rd < 0 && p.wr < 0 && p.slots == 0);
	pipe_close(&p);
}

TEST(a_renewed_pipe_is_empty_and_as_large)
{
	struct worker w;
	size_t n_fds = backing_n_fds();

	REQUIRE(worker_init(&w, 128 * KIB, true) == 0);
	if (w.pipe.rd < 0)
		SKIP("this user has no room for pipes");
	size_t slots = w.pipe.slots;
	check_pipe_takes(&w.pipe, w.data, 128 * KIB);
	CHECK_EQ(left_in(&w.pipe), HEADER + 128 * KIB);
	pipe_renew(&w.pipe);
	CHECK_EQ(w.pipe.slots, slots);
	CHECK_EQ(real_slots(&w.pipe), slots);
	CHECK_EQ(left_in(&w.pipe), 0);
	check_pipe_takes(&w.pipe, w.data, 128 * KIB);
	CHECK_EQ(backing_n_fds(), n_fds + 2);
	worker_fini(&w);
	CHECK_EQ(backing_n_fds(), n_fds);
}

/* Out of descriptors: the worker goes without. */
TEST(without_descriptors_there_is_no_pipe)
{
	struct worker w, none;
	struct rlimit old, low;

	REQUIRE(worker_init(&w, 128 * KIB, true) == 0 && getrlimit(RLIMIT_NOFILE, &old) == 0);
	low = (struct rlimit){.rlim_cur = 3, .rlim_max = old.rlim_max};
	REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
	pipe_renew(&w.pipe);
	int err = worker_init(&none, 128 * KIB, true);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
	CHECK(w.pipe.rd < 0 && w.pipe.wr < 0);
	CHECK_EQ(err, 0);
	CHECK(none.pipe.rd < 0 && none.data);
	worker_fini(&w);
	worker_fini(&none);
}

/* The largest halving of wanted that leaves room for two more pages in a pipe of at most limit slots. */
static uint64_t expected_io(uint64_t wanted, size_t limit)
{
	while (wanted > PAGE) {
		size_t slots = 16;
		while (slots < wanted / PAGE + 2)
			slots *= 2;
		if (slots <= limit)
			break;
		wanted = wanted / 2 / PAGE * PAGE;
	}
	return wanted;
}

static void check_halving(void *arg)
{
	size_t limit = pipe_limit("pipe-max-size") / PAGE;

	(void)arg;
	for (uint64_t wanted = PAGE; wanted <= 4UL << 20; wanted *= 2)
		CHECK_EQ(pipe_max_io(wanted), expected_io(wanted, limit));
	CHECK_EQ(pipe_max_io(3 * PAGE), 3 * PAGE);
	struct pipe p = {.rd = -1, .wr = -1};
	CHECK_EQ(pipe_open(&p, 2 * limit), -EPERM);
	CHECK(p.rd < 0 && p.wr < 0 && p.slots == 0);
	/* And one that is there already goes, rather than stay too small. */
	CHECK_EQ(pipe_open(&p, 16), 0);
	CHECK_EQ(pipe_open(&p, 2 * limit), -EPERM);
	CHECK(p.rd < 0 && p.wr < 0 && p.slots == 0);
}

TEST(a_user_gets_requests_that_fit_a_pipe)
{
	if (geteuid() != 0 || pipe_limit("pipe-user-pages-soft") < 4 * pipe_limit("pipe-max-size") / PAGE)
		SKIP("needs root, to be a user with no pipes yet");
	if (!child_run(true, check_halving, NULL))
		SKIP("not permitted to become another user");
}

/* Takes pipe pages until the user has but so many left. */
static void take_all_but(size_t n_left)
{
	size_t n_taken = 0, soft = pipe_limit("pipe-user-pages-soft");

	while (n_taken + n_left < soft) {
		struct pipe p = {.rd = -1, .wr = -1}; /* the process's end closes it */
		size_t slots = 16;
		while (slots < 256 && n_taken + n_left + 2 * slots <= soft)
			slots *= 2;
		if (pipe_open(&p, slots) != 0)
			break;
		n_taken += p.slots;
	}
	CHECK_EQ(n_taken + n_left, soft);
}

static void check_crowded(void *arg)
{
	struct worker w;

	(void)arg;
	take_all_but(96);
	CHECK_EQ(pipe_max_io(512 * KIB), 128 * KIB); /* 32 pages and 2: a pipe of 64 */
	REQUIRE(worker_init(&w, 128 * KIB, true) == 0);
	CHECK_EQ(w.pipe.slots, 64);
	CHECK_EQ(real_slots(&w.pipe), 64);
	/* A second one has no room: none, not a small one that would block. */
	CHECK_EQ(pipe_open(&w.spare, w.pipe.slots), -EPERM);
	CHECK(w.spare.rd < 0);
	pipe_renew(&w.pipe);
	CHECK_EQ(w.pipe.slots, 64);
	struct worker copying;
	REQUIRE(worker_init(&copying, 128 * KIB, true) == 0);
	CHECK(copying.pipe.rd < 0);
	CHECK_EQ(pipe_max_io(512 * KIB), 64 * KIB); /* 16 pages and 2: the 32 slots that are left */
	worker_fini(&copying);
	worker_fini(&w);
}

TEST(a_user_with_many_pipes_copies)
{
	size_t soft = pipe_limit("pipe-user-pages-soft");

	if (geteuid() != 0 || soft < 1024 || soft > 65536 || soft % 16 != 0)
		SKIP("needs root, to be a user with no pipes yet, and the usual limit");
	if (!child_run(true, check_crowded, NULL))
		SKIP("not permitted to become another user");
}

/* What the kernel says of the calling thread. */
static bool has_resource_cap(void)
{
	char line[128];
	unsigned long long mask = 0;
	FILE *f = fopen("/proc/thread-self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", &mask) == 1)
			break;
	if (f)
		(void)fclose(f);
	return mask >> CAP_SYS_RESOURCE & 1;
}

static void write_to(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	if (fd >= 0)
		close(fd);
}

static void *started_later(void *arg)
{
	struct cred c;

	CHECK(!has_resource_cap());
	CHECK_EQ(cred_thread_init(&c), 0);
	CHECK(c.may_resource && has_resource_cap());
	return arg;
}

/* In a user namespace, where root has every capability, also one that this container was not given. */
static void check_space(void *arg)
{
	struct worker w;
	char map[32];
	pthread_t thread;

	snprintf(map, sizeof(map), "0 %u 1", geteuid());
	(void)arg;
	if (unshare(CLONE_NEWUSER) < 0) {
		if (errno != EINVAL)
			_exit(2); /* not permitted, see child_run() */
		printf("# TSan has a thread of its own, and so no namespace: not tested in this build\n");
		return;
	}
	write_to("/proc/self/uid_map", map);
	REQUIRE(worker_init(&w, 131072, true) == 0);
	CHECK_EQ(cred_thread_init(&w.cred), 0);
	CHECK(w.cred.can_switch && has_resource_cap());
	cred_serve(&w.cred, 0, 0);
	CHECK(has_resource_cap());
	cred_serve(&w.cred, 1234, 1234);
	CHECK(!has_resource_cap());
	CHECK_EQ(pthread_create(&thread, NULL, started_later, NULL), 0);
	pthread_join(thread, NULL);
	worker_renew_pipe(&w);
	CHECK(has_resource_cap());
	cred_become(&w.cred, 1234, 1234, 022);
	CHECK(!has_resource_cap());
	cred_become(&w.cred, 0, 0, 022);
	CHECK(has_resource_cap());
	worker_fini(&w);
}

TEST(the_right_to_roots_space_goes_with_the_caller)
{
	if (!child_run(false, check_space, NULL))
		SKIP("no user namespaces here");
}
