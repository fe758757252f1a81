/*
 * The pool against a plain array: threads read and write one file at random, each byte having one writer, so that a reader knows
 * what its own bytes are; through, back, past the pool, with faults, sizes changing between rounds, in pools down to a few frames,
 * under every policy. In the end the disk must hold what the array does.
 */
#include <pthread.h>
#include <unistd.h>

#include "../tools/random.h"
#include "pool_rig.h"

#define THREADS 4
#define STRIPE  1000 /* bytes in a row that have one writer: pages are shared by several */
#define OP_MAX  20000

struct model {
	struct pool_rig rig;
	unsigned char bytes[DISK_CAP];
	uint64_t size_bytes;
	bool may_fail;
	unsigned operations;
	_Atomic unsigned failures;
	uint64_t seed;
};

struct actor {
	struct model *m;
	unsigned number;
	uint64_t r;
	unsigned char buf[OP_MAX];
};

static uint64_t random_below(uint64_t *r, uint64_t n)
{
	return random_step(r) % n;
}

static bool is_mine(const struct actor *a, uint64_t off_bytes)
{
	return off_bytes / STRIPE % THREADS == a->number;
}

static void complain(const struct actor *a, const char *what, uint64_t off_bytes, unsigned got,
		     unsigned want)
{
	if (atomic_fetch_add(&a->m->failures, 1) == 0)
		printf("# seed %llu thread %u: %s at %llu: %u instead of %u\n",
		       (unsigned long long)a->m->seed, a->number, what,
		       (unsigned long long)off_bytes, got, want);
}

static void check_bytes(struct actor *a, const char *what, uint64_t off_bytes, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes; i++)
		if (is_mine(a, off_bytes + i) && a->buf[i] != a->m->bytes[off_bytes + i]) {
			complain(a, what, off_bytes + i, a->buf[i], a->m->bytes[off_bytes + i]);
			return;
		}
}

static void do_read(struct actor *a, uint64_t off_bytes, size_t len_bytes)
{
	ssize_t n = pool_rig_read(&a->m->rig, off_bytes, len_bytes, a->buf);
	if (n < 0) {
		if (!a->m->may_fail)
			complain(a, "read failed", off_bytes, (unsigned)-n, 0);
		return;
	}
	uint64_t left = a->m->size_bytes - off_bytes;
	if ((uint64_t)n != (len_bytes < left ? len_bytes : left))
		complain(a, "short read", off_bytes, (unsigned)n, (unsigned)len_bytes);
	check_bytes(a, "read", off_bytes, (size_t)n);
}

/* By another path: what is dirty must be there. */
static void do_read_past(struct actor *a, uint64_t off_bytes, size_t len_bytes)
{
	struct disk *d = a->m->rig.disk;
	if (pool_file_flush_range(a->m->rig.file, off_bytes, len_bytes) < 0)
		return;
	mutex_lock(&d->mutex);
	memcpy(a->buf, d->bytes + off_bytes, len_bytes);
	mutex_unlock(&d->mutex);
	check_bytes(a, "read past the pool", off_bytes, len_bytes);
}

/* Within one stripe of the thread's own. */
static void do_write(struct actor *a, unsigned kind)
{
	struct model *m = a->m;
	uint64_t stripes = m->size_bytes / STRIPE / THREADS;
	uint64_t off = (random_below(&a->r, stripes) * THREADS + a->number) * STRIPE;
	size_t lead = (size_t)random_below(&a->r, STRIPE),
	       len = (size_t)random_below(&a->r, STRIPE - lead) + 1;
	size_t taken = len;
	for (size_t i = 0; i < len; i++)
		a->buf[i] = (unsigned char)random_step(&a->r);
	int err = kind == 0 ? pool_rig_write(&m->rig, a->buf, len, off + lead, &taken)
			    : pool_rig_write_through(&m->rig, a->buf, len, off + lead, kind == 1);
	if (err < 0 && !m->may_fail)
		complain(a, "write failed", off + lead, (unsigned)-err, 0);
	if (err < 0 && kind > 0)
		taken = 0;
	memcpy(m->bytes + off + lead, a->buf, err < 0 ? taken : len);
}

static void *act(void *arg)
{
	struct actor *a = arg;
	struct model *m = a->m;
	uint32_t seen = 0;
	for (unsigned i = 0; i < m->operations && atomic_load(&m->failures) == 0; i++) {
		uint64_t off = random_below(&a->r, m->size_bytes);
		size_t len = (size_t)random_below(&a->r, OP_MAX) + 1;
		size_t left = (size_t)(m->size_bytes - off);
		switch (random_below(&a->r, 16)) {
		case 0:
			do_read_past(a, off, len < left ? len : left);
			break;
		case 1:
			do_write(a, 1);
			break;
		case 2:
			do_write(a, 2);
			break;
		case 3:
			if (pool_file_sync(m->rig.file, &seen) < 0 && !m->may_fail)
				complain(a, "sync failed", 0, 0, 0);
			break;
		case 4:
			if (random_below(&a->r, 8) == 0)
				(void)!pool_file_drop(m->rig.file);
			break;
		case 5:
		case 6:
		case 7:
		case 8:
		case 9:
			do_write(a, 0);
			break;
		default:
			do_read(a, off, len);
		}
	}
	return NULL;
}

/* Between rounds, by one thread: a new size, as truncate or by writing at the end. */
static void change_size(struct model *m, uint64_t *r)
{
	struct pool_change c;
	struct disk *d = m->rig.disk;
	uint64_t least = (uint64_t)STRIPE * THREADS * 4;
	uint64_t size = least + random_below(r, DISK_CAP / 2 - least);
	uint64_t from = size < m->size_bytes ? size : m->size_bytes;
	if (size > m->size_bytes && random_below(r, 2) == 0) {
		unsigned char end[3] = {1, 2, 3};
		size_t taken;
		if (pool_rig_write(&m->rig, end, sizeof(end), size - sizeof(end), &taken) < 0)
			return;
		memset(m->bytes + m->size_bytes, 0, size - m->size_bytes);
		memcpy(m->bytes + size - sizeof(end), end, sizeof(end));
	} else {
		CHECK_EQ(pool_change_begin(m->rig.file, &c, from, POOL_TO_END, true), 0);
		mutex_lock(&d->mutex);
		if (size > d->size_bytes)
			memset(d->bytes + d->size_bytes, 0, size - d->size_bytes);
		else
			memset(d->bytes + size, 0, d->size_bytes - size);
		d->size_bytes = size;
		mutex_unlock(&d->mutex);
		pool_change_end(m->rig.file, &c, NULL, 0, 0, size);
		if (size > m->size_bytes)
			memset(m->bytes + m->size_bytes, 0, size - m->size_bytes);
	}
	m->size_bytes = size;
	CHECK_EQ(d->size_bytes, size);
}

static void run_threads(struct model *m, uint64_t seed)
{
	static struct actor actor[THREADS];
	pthread_t thread[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		actor[i].m = m;
		actor[i].number = i;
		actor[i].r = seed * 97 + i;
		CHECK_EQ(pthread_create(&thread[i], NULL, act, &actor[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void check_disk(struct model *m)
{
	uint32_t seen = pool_file_errors_seen(m->rig.file);
	atomic_store(&m->rig.disk->fault_one_in, 0);
	CHECK_EQ(pool_file_sync(m->rig.file, &seen), 0);
	CHECK_EQ(pool_rig_counter(&m->rig, CTR_POOL_DIRTY_BYTES), 0);
	CHECK_EQ(m->rig.disk->size_bytes, m->size_bytes);
	for (uint64_t i = 0; i < m->size_bytes; i++)
		if (m->rig.disk->bytes[i] != m->bytes[i]) {
			printf("# seed %llu: disk differs at %llu\n", (unsigned long long)m->seed,
			       (unsigned long long)i);
			CHECK_EQ(m->rig.disk->bytes[i], m->bytes[i]);
			return;
		}
}

static void run_model(const struct pool_config *c, uint64_t seed, unsigned fault_one_in, unsigned operations)
{
	static struct model m;
	uint64_t r = seed;
	memset(&m, 0, sizeof(m));
	m.seed = seed;
	m.may_fail = fault_one_in > 0;
	m.operations = operations;
	m.size_bytes = 200UL * 1000 + seed % 5000;
	bool is_ready = pool_rig_init(&m.rig, c, m.size_bytes) && pool_start(m.rig.pool) == 0;
	CHECK(is_ready);
	if (is_ready)
		memcpy(m.bytes, m.rig.disk->bytes, DISK_CAP);
	for (unsigned round = 0; is_ready && round < 3 && atomic_load(&m.failures) == 0; round++) {
		atomic_store(&m.rig.disk->fault_one_in, fault_one_in);
		run_threads(&m, seed + round);
		atomic_store(&m.rig.disk->fault_one_in, 0);
		check_disk(&m);
		change_size(&m, &r);
		uint64_t frames = 2 + random_below(&r, 60);
		int err = pool_resize(m.rig.pool, frames * c->page_bytes);
		CHECK(err == 0 || err == -EBUSY);
	}
	check_disk(&m);
	CHECK_EQ(m.failures, 0);
	pool_rig_fini(&m.rig);
}

static void run_all_policies(bool is_write_back, unsigned fault_one_in, unsigned operations)
{
	static const uint32_t frames[] = {1, 3, 17, 64};
	const char *given = getenv("ZCFS_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)getpid() * 1000;
	printf("# seed %llu (ZCFS_SEED=)\n", (unsigned long long)seed);
	const struct evict_ops *policy;
	for (size_t i = 0; (policy = evict_at(i)); i++)
		for (size_t k = 0; k < sizeof(frames) / sizeof(frames[0]); k++) {
			const struct pool_config c = {.size_bytes = frames[k] * 4096UL,
						      .page_bytes = 4096,
						      .policy = policy,
						      .is_write_back = is_write_back,
						      .dirty_max_percent = 60,
						      .flush_interval_s = 0.02,
						      .readahead_bytes = 65536,
						      .verify = (enum pool_verify)(seed % 3)};
			run_model(&c, seed++, fault_one_in, operations);
		}
}

TEST(write_through)
{
	run_all_policies(false, 0, 150);
}

TEST(write_back)
{
	run_all_policies(true, 0, 150);
}

TEST(write_through_with_faults)
{
	run_all_policies(false, 7, 150);
}

TEST(write_back_with_faults)
{
	run_all_policies(true, 7, 150);
}
