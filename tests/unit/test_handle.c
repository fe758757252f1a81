/* node/handle: two descriptors of one file, opened when needed, with the right flags. */
#include "check.h"
#include "node/handle.h"
#include "nodes.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>

#define THREADS 4
#define ROUNDS  300

struct fixture {
	struct nodes nodes;
	struct node *n; /* file "a", content "hello" */
};

#define FIXTURE __attribute__((cleanup(fixture_fini)))

static bool fixture_init(struct fixture *f)
{
	*f = (struct fixture){0};
	if (nodes_init(&f->nodes, 64))
		f->n = nodes_make(&f->nodes, "a", "hello");
	return f->n;
}

static void fixture_fini(struct fixture *f)
{
	nodes_fini(&f->nodes);
}

/* tmpfs had no O_DIRECT before Linux 6.6. */
static bool has_direct(const struct fixture *f)
{
	int fd = openat(f->nodes.b.fd, "a", O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool is_same_file(int a, int b)
{
	struct stat st_a, st_b;

	return fstat(a, &st_a) == 0 && fstat(b, &st_b) == 0 && st_a.st_ino == st_b.st_ino &&
	       st_a.st_dev == st_b.st_dev;
}

static off_t size_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? st.st_size : -1;
}

TEST(the_first_is_what_was_asked_for)
{
	struct fixture FIXTURE f;
	struct handle *h = NULL;
	char buf[8] = "";

	REQUIRE(fixture_init(&f));
	size_t n_fds = backing_n_fds();
	REQUIRE(handle_open(f.nodes.t, f.n, O_RDONLY, false, &h) == 0);
	CHECK_EQ(backing_n_fds(), n_fds + 1);
	int fd = handle_any_fd(h);
	CHECK_EQ(handle_fd(h, false), fd);
	CHECK_EQ(backing_n_fds(), n_fds + 1);
	CHECK_EQ(pread(fd, buf, sizeof(buf), 0), 5);
	CHECK_STR(buf, "hello");
	CHECK_EQ(h->next_read_off, HANDLE_OFF_NONE);
	CHECK_EQ(h->next_write_off, HANDLE_OFF_NONE);
	CHECK(h->node == f.n);
	CHECK_EQ(handle_close(h), 0);
	CHECK_EQ(backing_n_fds(), n_fds);
}

TEST(the_other_comes_when_needed)
{
	struct fixture FIXTURE f;

	REQUIRE(fixture_init(&f));
	if (!has_direct(&f))
		SKIP("no O_DIRECT here");
	for (int is_direct = 0; is_direct < 2; is_direct++) {
		struct handle *h = NULL;
		REQUIRE(handle_open(f.nodes.t, f.n, O_RDWR, is_direct, &h) == 0);
		int first = handle_any_fd(h), second = handle_fd(h, !is_direct);
		CHECK(second >= 0 && second != first);
		CHECK_EQ(handle_fd(h, !is_direct), second);
		CHECK_EQ(handle_fd(h, is_direct), first);
		CHECK_EQ(handle_any_fd(h), is_direct ? second : first); /* buffered if it can */
		CHECK(is_same_file(first, second));
		CHECK(!(fcntl(handle_fd(h, false), F_GETFL) & O_DIRECT));
		CHECK(fcntl(handle_fd(h, true), F_GETFL) & O_DIRECT);
		CHECK_EQ(handle_close(h), 0);
	}
}

TEST(flags_that_are_not_the_backings_are_dropped)
{
	struct fixture FIXTURE f;
	struct handle *h = NULL;
	int asked = O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NONBLOCK | O_NOFOLLOW | O_DSYNC |
		    O_NOATIME | O_DIRECT;

	REQUIRE(fixture_init(&f));
	REQUIRE(handle_open(f.nodes.t, f.n, asked, false, &h) == 0);
	int flags = fcntl(handle_fd(h, false), F_GETFL);
	CHECK_EQ(flags & O_ACCMODE, O_WRONLY);
	CHECK_EQ(flags & (O_APPEND | O_NONBLOCK | O_DIRECT), 0);
	CHECK_EQ(flags & (O_DSYNC | O_NOATIME), O_DSYNC | O_NOATIME);
	CHECK(fcntl(handle_fd(h, false), F_GETFD) & FD_CLOEXEC);
	CHECK_EQ(h->open_flags, asked);
	CHECK_EQ(handle_close(h), 0);
}

TEST(only_the_first_open_truncates)
{
	struct fixture FIXTURE f;
	struct handle *h = NULL;

	REQUIRE(fixture_init(&f));
	if (!has_direct(&f))
		SKIP("no O_DIRECT here");
	REQUIRE(handle_open(f.nodes.t, f.n, O_RDWR | O_TRUNC, false, &h) == 0);
	CHECK_EQ(size_of(handle_any_fd(h)), 0);
	CHECK_EQ(pwrite(handle_any_fd(h), "again", 5, 0), 5);
	CHECK_EQ(size_of(handle_fd(h, true)), 5);
	CHECK_EQ(handle_close(h), 0);
}

TEST(a_deleted_file_can_be_reopened)
{
	struct fixture FIXTURE f;
	struct handle *h = NULL;

	REQUIRE(fixture_init(&f));
	if (!has_direct(&f))
		SKIP("no O_DIRECT here");
	REQUIRE(handle_open(f.nodes.t, f.n, O_RDONLY, false, &h) == 0);
	CHECK_EQ(unlinkat(f.nodes.b.fd, "a", 0), 0);
	CHECK(backing_file(&f.nodes.b, "a", "another") != 0);
	node_table_shrink(f.nodes.t, 64);
	CHECK_EQ(size_of(handle_fd(h, true)), 5);
	CHECK_EQ(handle_close(h), 0);
}

TEST(a_new_file_is_adopted)
{
	struct fixture FIXTURE f;
	struct statx stx;
	struct node *n = NULL;

	REQUIRE(fixture_init(&f));
	if (!has_direct(&f))
		SKIP("no O_DIRECT here");
	int fd = openat(f.nodes.b.fd, "new", O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
	REQUIRE(node_from_fd(f.nodes.t, fd, &n, &stx) == 0);
	struct handle *h = handle_adopt(f.nodes.t, n, O_RDWR | O_DIRECT, fd, true);
	REQUIRE(h);
	CHECK_EQ(handle_fd(h, true), fd);
	int buffered = handle_fd(h, false);
	CHECK_EQ(pwrite(buffered, "x", 1, 0), 1);
	CHECK_EQ(size_of(fd), 1);
	CHECK_EQ(handle_close(h), 0);
}

/* A file handle would lead elsewhere there, so its descriptor is never closed. */
TEST(a_file_on_a_mount_below_is_the_right_one)
{
	struct fixture FIXTURE f;
	struct statx stx;
	struct node *sub = NULL, *n = NULL;
	struct handle *h = NULL;
	char path[PATH_MAX + 8];

	/* First of all: descriptors opened before go on seeing the old namespace. */
	bool may_mount =
		unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	REQUIRE(fixture_init(&f));
	snprintf(path, sizeof(path), "%s/sub", f.nodes.b.path);
	CHECK_EQ(mkdir(path, 0700), 0);
	if (!may_mount || mount("zcfs-test", path, "tmpfs", 0, NULL))
		SKIP("not permitted to mount here");
	int fd = openat(f.nodes.b.fd, "sub/b", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK_EQ(write(fd, "below", 5), 5);
	close(fd);
	CHECK_EQ(node_lookup(f.nodes.t, f.nodes.root, "sub", &sub, &stx), 0);
	CHECK_EQ(node_lookup(f.nodes.t, sub, "b", &n, &stx), 0);
	node_table_shrink(f.nodes.t, 64);
	CHECK_EQ(handle_open(f.nodes.t, n, O_RDONLY, false, &h), 0);
	CHECK_EQ(h ? size_of(handle_any_fd(h)) : 0, 5);
	CHECK_EQ(h ? handle_close(h) : 0, 0);
	CHECK_EQ(umount2(path, MNT_DETACH), 0);
}

TEST(what_cannot_be_opened_says_why)
{
	struct fixture FIXTURE f;
	struct handle *h = NULL;
	struct node *dir = NULL;
	struct statx stx;

	REQUIRE(fixture_init(&f));
	CHECK_EQ(mkdirat(f.nodes.b.fd, "dir", 0700), 0);
	REQUIRE(node_lookup(f.nodes.t, f.nodes.root, "dir", &dir, &stx) == 0);
	CHECK_EQ(handle_open(f.nodes.t, dir, O_WRONLY, false, &h), -EISDIR);
	CHECK(!h);
}

struct worker {
	struct handle *h;
	pthread_barrier_t *start;
	int fd;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *w = arg;

	pthread_barrier_wait(w->start);
	w->fd = handle_fd(w->h, true);
	return NULL;
}

TEST(threads_agree_on_the_second)
{
	struct fixture FIXTURE f;
	struct worker workers[THREADS];
	pthread_barrier_t start;

	REQUIRE(fixture_init(&f));
	if (!has_direct(&f))
		SKIP("no O_DIRECT here");
	size_t n_fds = backing_n_fds();
	pthread_barrier_init(&start, NULL, THREADS);
	for (int round = 0; round < ROUNDS; round++) {
		struct handle *h = NULL;
		REQUIRE(handle_open(f.nodes.t, f.n, O_RDONLY, false, &h) == 0);
		for (int i = 0; i < THREADS; i++) {
			workers[i] = (struct worker){.h = h, .start = &start, .fd = -1};
			CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
		}
		for (int i = 0; i < THREADS; i++)
			CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
		for (int i = 0; i < THREADS; i++)
			CHECK(workers[i].fd >= 0 && workers[i].fd == workers[0].fd);
		CHECK_EQ(backing_n_fds(), n_fds + 2);
		CHECK_EQ(handle_close(h), 0);
	}
	pthread_barrier_destroy(&start);
	CHECK_EQ(backing_n_fds(), n_fds);
}
