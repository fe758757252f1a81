/* data/pool_open: a node's pool file, the pool's descriptors, and who is told of what could not be written. */
#include "check.h"
#include "pooled.h"

#include <pthread.h>
#include <sys/stat.h>

#define THREADS 4

static void *find_file(void *arg)
{
	struct pooled *p = arg;

	return pool_open_file(p->pool, p->f.nodes.ledgers, p->f.nodes.t, p->f.n);
}

TEST(a_node_has_one_pool_file)
{
	struct pooled POOLED p;
	pthread_t threads[THREADS];

	REQUIRE(pooled_init(&p, 100, &(struct pool_config){0}));
	p.f.n = nodes_make(&p.f.nodes, "other", "");
	REQUIRE(p.f.n);
	CHECK(!node_pool_file(p.f.n));
	CHECK(!pool_open_file(NULL, p.f.nodes.ledgers, p.f.nodes.t, p.f.n));
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, find_file, &p), 0);
	for (int i = 0; i < THREADS; i++) {
		void *found;
		CHECK_EQ(pthread_join(threads[i], &found), 0);
		CHECK(found && found == node_pool_file(p.f.n));
	}
}

/* Through a FORGET: pages are found again by whoever opens the file next. */
TEST(pages_outlive_the_node)
{
	struct pooled POOLED p;

	REQUIRE(pooled_init(&p, 50000, &(struct pool_config){0}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDONLY));
	REQUIRE(pooled_check(&p, 0, 50000));
	pooled_close(&p);
	node_forget(p.f.nodes.t, p.f.n, 1);
	p.f.n = nodes_look(&p.f.nodes, "f");
	REQUIRE(p.f.n && !node_pool_file(p.f.n));
	REQUIRE(pool_open_file(p.pool, p.f.nodes.ledgers, p.f.nodes.t, p.f.n));
	/* old enough to be told from another */
	const struct timespec times[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
	CHECK_EQ(futimens(p.f.fd, times), 0);
	REQUIRE(pooled_open(&p, O_RDONLY));
	REQUIRE(pooled_check(&p, 0, 50000));
}

TEST(a_change_underneath_is_noticed_at_open)
{
	struct pooled POOLED p;

	REQUIRE(pooled_init(&p, 50000, &(struct pool_config){0}));
	POOLED_NEEDS_DIRECT(&p);
	for (unsigned i = 0; i < 20; i++) {
		uint64_t at = i * 5000UL;
		REQUIRE(pooled_open(&p, O_RDONLY));
		REQUIRE(pooled_check(&p, 0, RIG_MAX_IO));
		pooled_close(&p);
		const unsigned char *from = rig_change(&p.f, at, 300, i);
		CHECK_EQ(pwrite(p.f.fd, from, 300, (off_t)at), 300);
		if (p.f.len_bytes < at + 300)
			p.f.len_bytes = at + 300;
	}
}

TEST(descriptors_come_as_needed_and_go_with_the_last_close)
{
	static const struct {
		bool is_back;
		int flags;
		size_t n_fds; /* of the pool, beside the handle's one */
	} rows[] = {{false, O_RDONLY, 1}, {false, O_RDWR, 1}, {false, O_WRONLY, 0},
		    {true, O_RDONLY, 1},  {true, O_RDWR, 2},  {true, O_WRONLY, 2}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pooled POOLED p;
		REQUIRE(pooled_init(&p, 50000, &(struct pool_config){.is_write_back = rows[i].is_back}));
		POOLED_NEEDS_DIRECT(&p);
		size_t before = backing_n_fds();
		REQUIRE(pooled_open(&p, rows[i].flags));
		CHECK_EQ(backing_n_fds(), before + 1 + rows[i].n_fds);
		struct handle *first = p.f.h;
		REQUIRE(pooled_open(&p, rows[i].flags)); /* a second open brings only its own */
		CHECK_EQ(backing_n_fds(), before + 2 + rows[i].n_fds);
		pooled_close(&p);
		CHECK_EQ(backing_n_fds(), before + 1 + rows[i].n_fds);
		p.f.h = first;
		pooled_close(&p);
		CHECK_EQ(backing_n_fds(), before);
	}
}

TEST(a_writer_brings_what_a_reader_had_not)
{
	struct pooled POOLED p;

	REQUIRE(pooled_init(&p, 50000, &(struct pool_config){.is_write_back = true}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDONLY));
	struct handle *reader = p.f.h;
	CHECK_EQ(pooled_dirty(&p, 0, 0, 1), 0);
	CHECK(pool_file_has_io(node_pool_file(p.f.n), false) &&
	      !pool_file_has_io(node_pool_file(p.f.n), true));
	REQUIRE(pooled_open(&p, O_WRONLY));
	CHECK(pool_file_has_io(node_pool_file(p.f.n), true));
	CHECK_EQ(pooled_dirty(&p, 0, 100, 1), 100);
	pooled_close(&p);
	p.f.h = reader;
	CHECK_EQ(pool_open_sync(p.f.h), 0);
	rig_check_file(&p.f);
}

TEST(dirty_pages_are_written_after_the_last_close)
{
	struct pooled POOLED p;

	REQUIRE(pooled_init(&p, 50000, &(struct pool_config){.is_write_back = true}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	CHECK_EQ(pooled_dirty(&p, 1000, 30000, 2), 30000);
	pooled_close(&p);
	node_forget(p.f.nodes.t, p.f.n, 1);
	CHECK_EQ(pool_flush(p.pool), 0);
	rig_check_file(&p.f);
}

/* An open takes two or three descriptors: where they are few, one that takes a single one is better. */
TEST(few_descriptors_are_left_to_others)
{
	struct pooled POOLED p;
	struct rlimit old;

	REQUIRE(pooled_init(&p, 50000, &(struct pool_config){.is_write_back = true}));
	POOLED_NEEDS_DIRECT(&p);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
	struct rlimit few = {.rlim_cur = backing_n_fds() + 2, .rlim_max = old.rlim_max};
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
	bool is_open = pooled_open(&p, O_RDWR);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
	CHECK(!is_open);
	CHECK(p.f.h && !p.f.h->pool);
	CHECK_EQ(handle_close(p.f.h), 0);
	p.f.h = NULL;
	REQUIRE(pooled_open(&p, O_RDWR));
}

/* By the backing, which takes them away; and anew after each change of mode, owner or attributes, for either kind of caller. */
TEST(set_id_bits_make_a_write_due)
{
	for (int has_bits = 0; has_bits < 2; has_bits++) {
		struct pooled POOLED p;
		REQUIRE(pooled_init(&p, 50000, &(struct pool_config){.is_write_back = true}));
		POOLED_NEEDS_DIRECT(&p);
		CHECK_EQ(fchmod(p.f.fd, has_bits ? 04755 : 0755), 0);
		REQUIRE(pooled_open(&p, O_RDWR));
		for (int round = 0; round < 3; round++) {
			for (int is_kill = 0; is_kill < 2; is_kill++) {
				bool is_first = round > 0 || has_bits;
				CHECK_EQ(pool_open_is_privs_due(p.f.h, is_kill), is_first);
				uint32_t privs = pool_open_privs(p.f.h);
				pool_open_privs_written(p.f.h, is_kill, privs);
				CHECK(!pool_open_is_privs_due(p.f.h, is_kill));
			}
			uint32_t privs = pool_open_privs(p.f.h);
			node_note_privs(p.f.n);
			pool_open_privs_written(p.f.h, true, privs); /* began before: says nothing of it */
		}
	}
}

TEST(a_backing_without_o_direct_leaves_the_handle_as_it_was)
{
	struct pooled POOLED p;
	struct statx stx;

	REQUIRE(pooled_init(&p, 100, &(struct pool_config){0}));
	REQUIRE(rig_open(&p.f, O_RDONLY, false));
	/* without descriptors to be had it is the same */
	struct rlimit old, none = {0};
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
	none.rlim_max = old.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	int err = pool_open_begin(p.pool, p.f.h, &stx);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
	CHECK_EQ(err, -EMFILE);
	CHECK(!p.f.h->pool);
	pool_open_end(p.f.h);
}

TEST(without_a_pool_file_there_is_nothing_to_sync)
{
	struct rig RIG f;

	REQUIRE(rig_init(&f, 100));
	REQUIRE(rig_open(&f, O_RDWR, false));
	CHECK_EQ(pool_open_sync(f.h), 0);
	CHECK_EQ(pool_open_error(f.h), 0);
	pool_open_end(f.h);
}

/* A write-back that fails: each open is told once, the pages stay, a later one succeeds. */
TEST(an_error_is_told_once_an_open)
{
	struct pooled POOLED p;

	REQUIRE(pooled_init(&p, 50000, &(struct pool_config){.is_write_back = true}));
	POOLED_NEEDS_DIRECT(&p);
	REQUIRE(pooled_open(&p, O_RDWR));
	struct handle *first = p.f.h;
	REQUIRE(pooled_open(&p, O_RDWR));
	CHECK_EQ(pooled_dirty(&p, 20000, 1000, 2), 1000);
	struct rlimit old = rig_limit(4096);
	int err = pool_open_sync(p.f.h);
	rig_unlimit(&old);
	CHECK_EQ(err, -EFBIG);
	CHECK_EQ(pool_open_error(p.f.h), 0);
	CHECK_EQ(pool_open_error(first), -EFBIG);
	CHECK_EQ(pool_open_error(first), -EFBIG); /* a close takes none away */
	CHECK_EQ(pool_open_sync(first), -EFBIG);
	CHECK_EQ(pool_open_error(first), 0);
	CHECK_EQ(pool_open_sync(p.f.h), 0);
	rig_check_file(&p.f);
	pooled_close(&p);
	p.f.h = first;
}
