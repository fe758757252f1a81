/* node/fdcache: the budget, who is closed, who never is, and what comes back. */
#include "backing.h"
#include "check.h"
#include "node/fdcache.h"

#include <errno.h>
#include <pthread.h>

#define THREADS 4
#define ROUNDS  4000
#define FILES   24

struct fixture {
	struct backing b;
	struct fdcache *c;
	struct fd_slot slots[FILES];
	uint64_t inos[FILES];
	bool is_dropped[FILES];
};

#define FIXTURE __attribute__((cleanup(fixture_fini)))

static int open_path(const struct fixture *f, const char *name)
{
	return openat(f->b.fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* n files 0, 1, ..., each adopted in that order. */
static bool fixture_init(struct fixture *f, size_t budget, int n)
{
	*f = (struct fixture){.b = backing_new()};
	for (int i = 0; i < FILES; i++)
		f->is_dropped[i] = true;
	f->c = f->b.fd >= 0 ? fdcache_new(f->b.fd, budget) : NULL;
	if (!f->c || !fdcache_has_handles(f->c))
		return false;
	for (int i = 0; i < n; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		f->inos[i] = backing_file(&f->b, name, name);
		fdcache_adopt(f->c, &f->slots[i], open_path(f, name), true, false);
		f->is_dropped[i] = false;
	}
	return true;
}

static void drop(struct fixture *f, int i)
{
	fdcache_drop(f->c, &f->slots[i]);
	f->is_dropped[i] = true;
}

static void fixture_fini(struct fixture *f)
{
	for (int i = 0; f->c && i < FILES; i++)
		if (!f->is_dropped[i])
			drop(f, i);
	fdcache_free(f->c);
	backing_free(&f->b);
}

static uint64_t ino_of(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Borrows slot i and gives it back: its inode number, or 0. */
static uint64_t touch(struct fixture *f, int i)
{
	int fd = fdcache_get(f->c, &f->slots[i]);
	uint64_t ino = ino_of(fd);

	if (fd >= 0)
		fdcache_put(f->c, &f->slots[i]);
	return ino;
}

TEST(closed_ones_come_back_as_the_same_file)
{
	struct fixture FIXTURE f;
	size_t n_fds = backing_n_fds();

	if (!fixture_init(&f, 4, FILES))
		SKIP("no file handles here");
	CHECK_EQ(fdcache_open_count(f.c), 4);
	CHECK_EQ(backing_n_fds(), n_fds + 1 + 4); /* the directory, the budget */
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < FILES; i++)
			CHECK_EQ(touch(&f, i), f.inos[i]);
	CHECK_EQ(fdcache_open_count(f.c), 4);
	for (int i = 0; i < FILES; i++)
		drop(&f, i);
	CHECK_EQ(fdcache_open_count(f.c), 0);
	CHECK_EQ(backing_n_fds(), n_fds + 1);
}

TEST(the_one_not_used_goes_first)
{
	struct fixture FIXTURE f;

	if (!fixture_init(&f, 3, 3))
		SKIP("no file handles here");
	CHECK_EQ(touch(&f, 0), f.inos[0]);
	CHECK_EQ(touch(&f, 1), f.inos[1]);
	f.inos[3] = backing_file(&f.b, "3", "");
	fdcache_adopt(f.c, &f.slots[3], open_path(&f, "3"), true, false);
	f.is_dropped[3] = false;
	CHECK(f.slots[0].fd >= 0);
	CHECK(f.slots[1].fd >= 0);
	CHECK_EQ(f.slots[2].fd, -1);
	CHECK(f.slots[3].fd >= 0);
}

TEST(borrowed_ones_stay_open_beyond_the_budget)
{
	struct fixture FIXTURE f;
	int fds[8];

	if (!fixture_init(&f, 4, 8))
		SKIP("no file handles here");
	for (int i = 0; i < 8; i++)
		fds[i] = fdcache_get(f.c, &f.slots[i]);
	CHECK_EQ(fdcache_open_count(f.c), 8);
	CHECK_EQ(fdcache_shrink(f.c, 8), 0);
	for (int i = 0; i < 8; i++)
		CHECK_EQ(ino_of(fds[i]), f.inos[i]);
	for (int i = 0; i < 8; i++)
		fdcache_put(f.c, &f.slots[i]);
	CHECK_EQ(fdcache_open_count(f.c), 4);
}

TEST(shrink_closes_what_it_says)
{
	struct fixture FIXTURE f;
	size_t n_fds = backing_n_fds();

	if (!fixture_init(&f, 16, 16))
		SKIP("no file handles here");
	for (int i = 0; i < 16; i++)
		CHECK_EQ(touch(&f, i), f.inos[i]);
	CHECK_EQ(fdcache_shrink(f.c, 5), 5);
	CHECK_EQ(backing_n_fds(), n_fds + 1 + 11);
	CHECK_EQ(fdcache_shrink(f.c, 100), 11);
	CHECK_EQ(fdcache_open_count(f.c), 0);
	CHECK_EQ(touch(&f, 7), f.inos[7]);
}

TEST(a_kept_one_survives_its_unlink)
{
	struct fixture FIXTURE f;

	if (!fixture_init(&f, 4, 8))
		SKIP("no file handles here");
	CHECK_EQ(fdcache_shrink(f.c, 8), 4);
	CHECK_EQ(fdcache_kept_fd(f.c, &f.slots[0]), -1);
	CHECK_EQ(fdcache_keep(f.c, &f.slots[0]), 0);
	CHECK_EQ(unlinkat(f.b.fd, "0", 0), 0);
	CHECK_EQ(fdcache_shrink(f.c, 8), 0);
	CHECK_EQ(ino_of(fdcache_kept_fd(f.c, &f.slots[0])), f.inos[0]);
	CHECK_EQ(touch(&f, 0), f.inos[0]);
}

TEST(keeps_are_counted)
{
	struct fixture FIXTURE f;

	if (!fixture_init(&f, 4, 1))
		SKIP("no file handles here");
	CHECK_EQ(fdcache_keep(f.c, &f.slots[0]), 0);
	CHECK_EQ(fdcache_keep(f.c, &f.slots[0]), 0);
	fdcache_unkeep(f.c, &f.slots[0]);
	CHECK_EQ(fdcache_shrink(f.c, 1), 0);
	fdcache_unkeep(f.c, &f.slots[0]);
	fdcache_unkeep(f.c, &f.slots[0]); /* one too many */
	CHECK_EQ(fdcache_shrink(f.c, 1), 1);
	CHECK_EQ(touch(&f, 0), f.inos[0]);
}

TEST(a_deleted_file_is_stale)
{
	struct fixture FIXTURE f;

	if (!fixture_init(&f, 4, 2))
		SKIP("no file handles here");
	CHECK_EQ(fdcache_shrink(f.c, 2), 2);
	CHECK_EQ(unlinkat(f.b.fd, "0", 0), 0);
	CHECK_EQ(fdcache_get(f.c, &f.slots[0]), -ESTALE);
	CHECK_EQ(fdcache_keep(f.c, &f.slots[0]), -ESTALE);
	CHECK_EQ(fdcache_kept_fd(f.c, &f.slots[0]), -1);
	CHECK_EQ(touch(&f, 1), f.inos[1]);
}

TEST(an_offer_fills_an_empty_slot_only)
{
	struct fixture FIXTURE f;

	if (!fixture_init(&f, 4, 1))
		SKIP("no file handles here");
	int fd = open_path(&f, "0");
	CHECK_EQ(fdcache_offer(f.c, &f.slots[0], fd), fd);
	CHECK_EQ(fdcache_shrink(f.c, 1), 1);
	CHECK_EQ(fdcache_offer(f.c, &f.slots[0], fd), -1);
	CHECK_EQ(f.slots[0].fd, fd);
	CHECK_EQ(fdcache_open_count(f.c), 1);
	CHECK_EQ(fdcache_shrink(f.c, 1), 1);
	CHECK_EQ(touch(&f, 0), f.inos[0]);
	/* Evicted again, and replaced underneath: what is offered counts from now on. */
	CHECK_EQ(fdcache_shrink(f.c, 1), 1);
	CHECK_EQ(unlinkat(f.b.fd, "0", 0), 0);
	f.inos[0] = backing_file(&f.b, "0", "");
	CHECK_EQ(fdcache_offer(f.c, &f.slots[0], open_path(&f, "0")), -1);
	CHECK_EQ(fdcache_shrink(f.c, 1), 1);
	CHECK_EQ(touch(&f, 0), f.inos[0]);
}

TEST(other_mounts_and_nameless_files_are_never_closed)
{
	struct fixture FIXTURE f;

	if (!fixture_init(&f, 4, 2))
		SKIP("no file handles here");
	fdcache_adopt(f.c, &f.slots[2], open("/proc", O_PATH | O_CLOEXEC), false, false);
	fdcache_adopt(f.c, &f.slots[3], openat(f.b.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600),
		      true, true);
	f.is_dropped[2] = f.is_dropped[3] = false;
	CHECK_EQ(fdcache_shrink(f.c, 8), 2);
	CHECK(f.slots[2].fd >= 0);
	CHECK(f.slots[3].fd >= 0);
	CHECK_EQ(fdcache_kept_fd(f.c, &f.slots[3]), f.slots[3].fd);
}

TEST(kept_ones_leave_a_part_of_the_budget)
{
	struct fixture FIXTURE f;

	if (!fixture_init(&f, 16, FILES))
		SKIP("no file handles here");
	for (int i = 0; i < 18; i++)
		CHECK_EQ(fdcache_keep(f.c, &f.slots[i]), 0);
	for (int i = 18; i < FILES; i++)
		CHECK_EQ(touch(&f, i), f.inos[i]);
	CHECK_EQ(fdcache_open_count(f.c), 18 + 16 / 8);
}

TEST(links_and_directories_have_handles_too)
{
	struct fixture FIXTURE f;
	struct stat st;

	if (!fixture_init(&f, 4, 0))
		SKIP("no file handles here");
	CHECK_EQ(symlinkat("nowhere", f.b.fd, "link"), 0);
	CHECK_EQ(mkdirat(f.b.fd, "dir", 0700), 0);
	CHECK_EQ(mkfifoat(f.b.fd, "fifo", 0600), 0);
	const char *const names[] = {"link", "dir", "fifo"};
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(fstatat(f.b.fd, names[i], &st, AT_SYMLINK_NOFOLLOW), 0);
		f.inos[i] = st.st_ino;
		fdcache_adopt(f.c, &f.slots[i], open_path(&f, names[i]), true, false);
		f.is_dropped[i] = false;
	}
	CHECK_EQ(fdcache_shrink(f.c, 3), 3);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(touch(&f, i), f.inos[i]);
}

TEST(without_handles_nothing_is_closed)
{
	int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* procfs exports none */
	struct fdcache *c = fdcache_new(fd, 1);
	struct fd_slot slots[3];

	REQUIRE(c);
	CHECK(!fdcache_has_handles(c));
	for (int i = 0; i < 3; i++)
		fdcache_adopt(c, &slots[i], open("/proc", O_PATH | O_CLOEXEC), true, false);
	CHECK_EQ(fdcache_shrink(c, 3), 0);
	CHECK_EQ(fdcache_open_count(c), 3);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(fdcache_get(c, &slots[i]), slots[i].fd);
		fdcache_put(c, &slots[i]);
		fdcache_drop(c, &slots[i]);
	}
	fdcache_free(c);
	close(fd);
}

/* Threads that share slots 0..15 and each adopt and drop slots of their own. */
struct worker {
	struct fixture *f;
	unsigned seed;
	pthread_t thread;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	struct fixture *f = w->f;

	for (int round = 0; round < ROUNDS; round++) {
		int i = rand_r(&w->seed) % 16;
		CHECK_EQ(touch(f, i), f->inos[i]);
		struct fd_slot own;
		char name[16];
		snprintf(name, sizeof(name), "%d", i);
		fdcache_adopt(f->c, &own, open_path(f, name), true, false);
		if (round % 2 == 0) {
			CHECK_EQ(fdcache_keep(f->c, &f->slots[i]), 0);
			CHECK_EQ(ino_of(fdcache_kept_fd(f->c, &f->slots[i])), f->inos[i]);
			fdcache_unkeep(f->c, &f->slots[i]);
		}
		/* A slot that takes the offer needs a new handle at its next eviction. */
		int fd = fdcache_offer(f->c, &f->slots[i], open_path(f, name));
		if (fd >= 0)
			close(fd);
		fd = fdcache_get(f->c, &own);
		CHECK_EQ(ino_of(fd), f->inos[i]);
		if (fd >= 0)
			fdcache_put(f->c, &own);
		if (round % 16 == 0)
			(void)fdcache_shrink(f->c, 4);
		fdcache_drop(f->c, &own);
	}
	return NULL;
}

TEST(threads_share_a_tiny_budget)
{
	struct fixture FIXTURE f;
	struct worker workers[THREADS];
	size_t n_fds = backing_n_fds();

	if (!fixture_init(&f, 2, 16))
		SKIP("no file handles here");
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.f = &f, .seed = i};
		CHECK_EQ(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(workers[i].thread, NULL), 0);
	CHECK(touch(&f, 0) == f.inos[0]);
	CHECK(fdcache_open_count(f.c) <= 2);
	CHECK_EQ(backing_n_fds(), n_fds + 1 + fdcache_open_count(f.c));
}
