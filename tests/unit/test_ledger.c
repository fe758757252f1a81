/* stats/ledger: identity, references, eviction into `others`, and totals that nothing changes. */
#include "check.h"
#include "stats/ledger.h"

#include <pthread.h>

#define THREADS 4
#define ROUNDS  20000
#define FILES   96
#define LIMIT   16

static struct ledger *get(struct ledger_table *t, uint64_t ino, int64_t btime_ns)
{
	return ledger_get(t, &(struct ledger_key){.dev = 1, .ino = ino, .btime_ns = btime_ns});
}

/* Counts n bytes in the file's ledger and leaves it unreferenced. */
static void touch(struct ledger_table *t, uint64_t ino, uint64_t n)
{
	struct ledger *l = get(t, ino, 0);

	CHECK(l);
	if (!l)
		return;
	counters_add(&l->counters, CTR_READ_COPY_BYTES, n);
	(void)counters_observe(&l->counters, HIST_READ_SIZE, n);
	ledger_put(t, l);
}

static uint64_t read_bytes(const struct ledger *l)
{
	struct counters_snapshot s = {0};

	counters_accumulate(&l->counters, &s);
	counters_total(&s);
	return s.sum[CTR_READ_BYTES];
}

/* What the file's ledger says; makes an empty one if it has none. */
static uint64_t read_bytes_of(struct ledger_table *t, uint64_t ino)
{
	struct ledger *l = get(t, ino, 0);
	uint64_t n;

	CHECK(l);
	if (!l)
		return 0;
	n = read_bytes(l);
	ledger_put(t, l);
	return n;
}

static void check_totals(struct ledger_table *t, uint64_t total, uint64_t in_others)
{
	struct counters_snapshot s, others;

	ledger_totals(t, &s, &others);
	CHECK_EQ(s.sum[CTR_READ_BYTES], total);
	CHECK_EQ(others.sum[CTR_READ_BYTES], in_others);
}

static void check_size(struct ledger_table *t, size_t files, size_t merged)
{
	size_t files_now, merged_now;

	ledger_table_size(t, &files_now, &merged_now);
	CHECK_EQ(files_now, files);
	CHECK_EQ(merged_now, merged);
}

TEST(same_file_same_ledger)
{
	struct ledger_table *t = ledger_table_new(10);
	REQUIRE(t);
	struct ledger *a = get(t, 1, 5), *b = get(t, 1, 5), *c = get(t, 2, 5);
	struct ledger *d = ledger_get(t, &(struct ledger_key){.dev = 2, .ino = 1, .btime_ns = 5});
	REQUIRE(a && b && c && d);

	CHECK(a == b);
	CHECK(a != c);
	CHECK(a != d);
	check_size(t, 3, 0);
	ledger_put(t, a);
	ledger_put(t, b);
	ledger_put(t, c);
	ledger_put(t, d);
	ledger_table_free(t);
}

TEST(counts_outlive_the_last_reference)
{
	struct ledger_table *t = ledger_table_new(10);
	REQUIRE(t);

	touch(t, 1, 100);
	touch(t, 1, 11);
	CHECK_EQ(read_bytes_of(t, 1), 111);
	check_totals(t, 111, 0);
	ledger_table_free(t);
}

TEST(a_reused_inode_number_starts_at_zero)
{
	struct ledger_table *t = ledger_table_new(10);
	REQUIRE(t);
	struct ledger *old = get(t, 1, 1000);
	REQUIRE(old);
	counters_add(&old->counters, CTR_READ_COPY_BYTES, 7);

	struct ledger *unknown = get(t, 1, 0); /* no birth time agrees with any */
	CHECK(unknown == old);
	ledger_put(t, unknown);

	struct ledger *fresh = get(t, 1, 2000); /* while the old one is still referenced */
	REQUIRE(fresh);
	CHECK(fresh != old);
	CHECK_EQ(read_bytes(fresh), 0);
	counters_add(&old->counters, CTR_READ_COPY_BYTES, 1);
	check_size(t, 2, 0);
	check_totals(t, 8, 0);
	ledger_put(t, old);
	check_size(t, 1, 0);
	check_totals(t, 8, 0);
	ledger_put(t, fresh);

	struct ledger *third = get(t, 1, 3000); /* and when it is not */
	REQUIRE(third);
	check_size(t, 1, 0);
	check_totals(t, 8, 0);
	ledger_put(t, third);
	ledger_table_free(t);
}

TEST(finding_makes_none_and_retires_none)
{
	struct ledger_table *t = ledger_table_new(10);
	REQUIRE(t);
	const struct ledger_key now = {.dev = 1, .ino = 1, .btime_ns = 1000};

	CHECK(ledger_find(t, &now) == NULL);
	check_size(t, 0, 0);
	touch(t, 1, 7);
	struct ledger *l = ledger_find(t, &(struct ledger_key){.dev = 1, .ino = 1});
	REQUIRE(l);
	CHECK_EQ(read_bytes(l), 7);
	ledger_put(t, l);

	struct ledger *newer = get(t, 2, 1000);
	REQUIRE(newer);
	CHECK(ledger_find(t, &(struct ledger_key){.dev = 1, .ino = 2, .btime_ns = 500}) == NULL);
	CHECK(get(t, 2, 1000) == newer);
	ledger_put(t, newer);
	ledger_put(t, newer);
	ledger_table_free(t);
}

TEST(least_recently_used_is_merged_into_others)
{
	struct ledger_table *t = ledger_table_new(3);
	REQUIRE(t);

	touch(t, 1, 1);
	touch(t, 2, 20);
	touch(t, 3, 300);
	touch(t, 1, 1); /* now 2 is the oldest */
	check_size(t, 3, 0);
	touch(t, 4, 4000);
	check_size(t, 3, 1);
	check_totals(t, 4322, 20);
	CHECK_EQ(read_bytes_of(t, 1), 2);
	CHECK_EQ(read_bytes_of(t, 3), 300);
	CHECK_EQ(read_bytes_of(t, 4), 4000);
	CHECK_EQ(read_bytes_of(t, 2), 0); /* starts again, at the cost of the oldest: 1 */
	check_size(t, 3, 2);
	check_totals(t, 4322, 22);
	ledger_table_free(t);
}

TEST(referenced_ledgers_are_kept_beyond_the_limit)
{
	struct ledger_table *t = ledger_table_new(1);
	struct ledger *l[5];
	REQUIRE(t);

	for (unsigned i = 0; i < 5; i++) {
		l[i] = get(t, i, 0);
		REQUIRE(l[i]);
		counters_add(&l[i]->counters, CTR_READ_COPY_BYTES, 1);
	}
	check_size(t, 5, 0);
	for (unsigned i = 0; i < 5; i++)
		ledger_put(t, l[i]);
	check_size(t, 1, 4);
	check_totals(t, 5, 4);
	CHECK_EQ(read_bytes_of(t, 4), 1);
	ledger_table_free(t);
}

TEST(a_deleted_file_is_retired_with_its_last_reference)
{
	struct ledger_table *t = ledger_table_new(10);
	REQUIRE(t);
	struct ledger *l = get(t, 1, 0);
	REQUIRE(l);
	counters_add(&l->counters, CTR_READ_COPY_BYTES, 5);

	ledger_delete(t, l);
	CHECK_EQ(read_bytes(l), 5);
	CHECK_EQ(read_bytes_of(t, 1), 0); /* the number's next owner */
	check_size(t, 2, 0);
	counters_add(&l->counters, CTR_READ_COPY_BYTES, 1);
	ledger_put(t, l);
	check_size(t, 1, 0);
	check_totals(t, 6, 0);
	ledger_table_free(t);
}

TEST(reset_zeroes_a_file_and_keeps_the_totals)
{
	struct ledger_table *t = ledger_table_new(10);
	REQUIRE(t);
	struct ledger *l = get(t, 1, 0);
	REQUIRE(l);

	counters_add(&l->counters, CTR_READ_COPY_BYTES, 5);
	touch(t, 2, 50);
	ledger_reset(t, l);
	CHECK_EQ(read_bytes(l), 0);
	check_totals(t, 55, 0);
	ledger_put(t, l);
	ledger_table_free(t);
}

TEST(reset_all_zeroes_everything)
{
	struct ledger_table *t = ledger_table_new(1);
	REQUIRE(t);
	struct ledger *l = get(t, 1, 0);
	REQUIRE(l);

	counters_add(&l->counters, CTR_READ_COPY_BYTES, 5);
	ledger_reset(t, l); /* something retired, */
	touch(t, 2, 50); /* something merged */
	touch(t, 3, 500);
	counters_add(&l->counters, CTR_READ_COPY_BYTES, 5);
	ledger_reset_all(t);
	check_totals(t, 0, 0);
	check_size(t, 1, 0);
	CHECK_EQ(read_bytes(l), 0);
	ledger_put(t, l);
	ledger_table_free(t);
}

TEST(totals_carry_histograms)
{
	struct ledger_table *t = ledger_table_new(1);
	struct counters_snapshot s, others;
	REQUIRE(t);

	touch(t, 1, 4096);
	touch(t, 2, 9000);
	ledger_totals(t, &s, &others);
	CHECK_EQ(histogram_count(&s.hist[HIST_READ_SIZE]), 2);
	CHECK_EQ(s.hist[HIST_READ_SIZE].max, 9000);
	CHECK_EQ(histogram_count(&others.hist[HIST_READ_SIZE]), 1);
	CHECK_EQ(others.hist[HIST_READ_SIZE].max, 4096);
	ledger_table_free(t);
}

/* Past several doublings of the hash table every file is still found. */
TEST(many_files)
{
	const uint64_t n = 5000;
	struct ledger_table *t = ledger_table_new(n);
	REQUIRE(t);

	for (uint64_t ino = 1; ino <= n; ino++)
		touch(t, ino, ino);
	check_size(t, n, 0);
	for (uint64_t ino = 1; ino <= n; ino++)
		CHECK_EQ(read_bytes_of(t, ino), ino);
	check_size(t, n, 0);
	check_totals(t, n * (n + 1) / 2, 0);
	ledger_table_free(t);
}

struct worker {
	struct ledger_table *t;
	unsigned seed;
	uint64_t bytes; /* what it has counted */
	uint64_t ops;
	_Atomic bool *is_over;
};

static uint64_t random_next(struct worker *w, uint64_t below)
{
	w->seed = w->seed * 1664525U + 1013904223U;
	return (w->seed >> 8) % below;
}

/* Finds, counts, drops, and now and then deletes or resets, files that all threads share. */
static void *work(void *arg)
{
	struct worker *w = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ledger *l = get(w->t, random_next(w, FILES), (int64_t)random_next(w, 3));
		CHECK(l);
		if (!l)
			continue;
		uint64_t n = 1 + random_next(w, 100000);
		counters_add(&l->counters, CTR_READ_COPY_BYTES, n);
		(void)counters_observe(&l->counters, HIST_READ_SIZE, n);
		w->bytes += n;
		w->ops++;
		uint64_t dice = random_next(w, 16);
		if (dice == 0)
			ledger_delete(w->t, l);
		else if (dice == 1)
			ledger_reset(w->t, l);
		ledger_put(w->t, l);
	}
	return NULL;
}

/* Totals never step back while values move about, which they would if one were out of sight. */
static void *watch(void *arg)
{
	struct worker *w = arg;
	uint64_t bytes = 0, count = 0;

	while (!atomic_load(w->is_over)) {
		struct counters_snapshot s;
		ledger_totals(w->t, &s, NULL);
		CHECK(s.sum[CTR_READ_BYTES] >= bytes);
		CHECK(histogram_count(&s.hist[HIST_READ_SIZE]) >= count);
		bytes = s.sum[CTR_READ_BYTES];
		count = histogram_count(&s.hist[HIST_READ_SIZE]);
	}
	return NULL;
}

TEST(totals_are_exact_after_threads_evict_delete_and_reset)
{
	struct ledger_table *t = ledger_table_new(LIMIT);
	struct counters_snapshot s;
	struct worker worker[THREADS + 1];
	pthread_t thread[THREADS + 1];
	_Atomic bool is_over = false;
	uint64_t bytes = 0, ops = 0;
	size_t files, merged;
	REQUIRE(t);

	for (unsigned i = 0; i <= THREADS; i++) {
		worker[i] = (struct worker){.t = t, .seed = i, .is_over = &is_over};
		void *(*run)(void *) = i < THREADS ? work : watch;
		REQUIRE(pthread_create(&thread[i], NULL, run, &worker[i]) == 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		bytes += worker[i].bytes;
		ops += worker[i].ops;
	}
	atomic_store(&is_over, true);
	pthread_join(thread[THREADS], NULL);

	ledger_totals(t, &s, NULL);
	CHECK_EQ(ops, THREADS * ROUNDS);
	CHECK_EQ(s.sum[CTR_READ_OPS], ops);
	CHECK_EQ(s.sum[CTR_READ_BYTES], bytes);
	CHECK_EQ(histogram_count(&s.hist[HIST_READ_SIZE]), ops);
	ledger_table_size(t, &files, &merged);
	CHECK(files <= LIMIT);
	CHECK(merged > 0);
	ledger_table_free(t);
}
