/* stats/ledger as the buffer pool holds it: by references of its own, and with levels that go down again when pages leave. */
#include "check.h"
#include "stats/ledger.h"

static size_t count(struct ledger_table *t)
{
	size_t files, merged;
	ledger_table_size(t, &files, &merged);
	return files;
}

/* As the buffer pool does for a file whose pages outlive its nodes. */
TEST(one_more_reference_keeps_even_a_deleted_file)
{
	struct ledger_table *t = ledger_table_new(10);
	struct counters_snapshot s;
	REQUIRE(t);
	struct ledger *l = ledger_get(t, &(struct ledger_key){.dev = 1, .ino = 1});
	REQUIRE(l);

	ledger_ref(t, l);
	counters_add(&l->counters, CTR_READ_COPY_BYTES, 5);
	counters_add(&l->counters, CTR_POOL_RESIDENT_BYTES, 4096);
	ledger_delete(t, l);
	ledger_ref(t, l); /* ledger_get() would not find it */
	ledger_put(t, l);
	ledger_put(t, l);
	CHECK_EQ(count(t), 1);
	ledger_totals(t, &s, NULL);
	CHECK_EQ(s.sum[CTR_POOL_RESIDENT_BYTES], 4096);
	counters_add(&l->counters, CTR_POOL_RESIDENT_BYTES, (uint64_t)-4096);
	ledger_put(t, l);
	CHECK_EQ(count(t), 0);
	ledger_totals(t, &s, NULL);
	CHECK_EQ(s.sum[CTR_POOL_RESIDENT_BYTES], 0);
	CHECK_EQ(s.sum[CTR_READ_BYTES], 5);
	ledger_table_free(t);
}

TEST(resets_leave_what_is_in_the_pool)
{
	struct ledger_table *t = ledger_table_new(10);
	struct counters_snapshot s, others;
	REQUIRE(t);
	struct ledger *l = ledger_get(t, &(struct ledger_key){.dev = 1, .ino = 1});
	REQUIRE(l);

	counters_add(&l->counters, CTR_POOL_DIRTY_BYTES, 4096);
	counters_add(&l->counters, CTR_POOL_HITS, 3);
	ledger_reset(t, l);
	ledger_totals(t, &s, &others);
	CHECK_EQ(s.sum[CTR_POOL_DIRTY_BYTES], 4096);
	CHECK_EQ(s.sum[CTR_POOL_HITS], 3);
	ledger_reset_all(t);
	ledger_totals(t, &s, &others);
	CHECK_EQ(s.sum[CTR_POOL_DIRTY_BYTES], 4096);
	CHECK_EQ(s.sum[CTR_POOL_HITS], 0);
	CHECK_EQ(others.sum[CTR_POOL_DIRTY_BYTES], 0);
	counters_add(&l->counters, CTR_POOL_DIRTY_BYTES, (uint64_t)-4096);
	ledger_put(t, l);
	ledger_table_free(t);
}
