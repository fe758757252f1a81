/* data/account: one request's bytes, copies, order and failure, in the ledger once. */
#include "check.h"
#include "data/account.h"

#include <errno.h>
#include <pthread.h>

#define THREADS 4
#define ROUNDS  5000
#define N       10000ULL

struct book {
	struct ledger l;
	struct handle h;
	struct io_request rq;
	struct account acc;
};

#define BOOK __attribute__((cleanup(book_fini)))

static void book_init(struct book *b)
{
	*b = (struct book){.h = {.next_read_off = HANDLE_OFF_NONE, .next_write_off = HANDLE_OFF_NONE}};
	b->rq = (struct io_request){.handle = &b->h, .len_bytes = N};
}

static void book_fini(struct book *b)
{
	counters_fini(&b->l.counters);
}

static void book_one(struct book *b, bool is_write, int64_t result)
{
	struct account_entry e = {.rq = &b->rq,
				  .acc = &b->acc,
				  .is_write = is_write,
				  .syscalls = 3,
				  .arrival_ticks = account_now(),
				  .result = result};

	account_book(&b->l, &e);
}

static struct counters_snapshot *snapshot(const struct book *b)
{
	static struct counters_snapshot s;

	memset(&s, 0, sizeof(s));
	counters_accumulate(&b->l.counters, &s);
	counters_total(&s);
	return &s;
}

static uint64_t sum(const struct book *b, enum counter id)
{
	return snapshot(b)->sum[id];
}

static uint64_t n_seen(const struct counters_snapshot *s, enum hist id)
{
	return histogram_count(&s->hist[id]);
}

/* The bytes of every way, together. */
static uint64_t ways(const struct book *b, bool is_write)
{
	uint64_t total = 0;
	enum counter first = is_write ? CTR_WRITE_SPLICE_BYTES : CTR_READ_SPLICE_BYTES;
	enum counter last = is_write ? CTR_WRITE_KERNEL_BYTES : CTR_READ_KERNEL_BYTES;

	for (int id = (int)first; id <= (int)last; id++)
		total += sum(b, (enum counter)id);
	return total;
}

/* The kernel's own copies a byte: the table of account.c, written out. */
static const struct copies_row {
	enum way way;
	bool is_write, is_cached, is_direct, is_writeback;
	unsigned copies;
} copies_table[] = {
	/* read: pipe to FUSE page, then to the program if cached */
	{WAY_SPLICE, false, true, false, false, 2},
	{WAY_SPLICE, false, false, false, false, 1},
	{WAY_SPLICE, false, true, true, false, 1},
	{WAY_SPLICE, false, false, true, false, 1},
	{WAY_COPY, false, true, false, false, 1},
	{WAY_COPY, false, false, false, false, 0},
	{WAY_COPY, false, true, true, false, 0},
	{WAY_DIRECT, false, true, false, false, 1},
	{WAY_DIRECT, false, false, false, false, 0},
	{WAY_DIRECT, false, false, true, false, 0},
	/* write: from the program if cached, then page to backing; direct_io: by way of the pipe */
	{WAY_SPLICE, true, true, false, false, 2},
	{WAY_SPLICE, true, false, false, false, 2},
	{WAY_SPLICE, true, true, true, false, 2},
	{WAY_SPLICE, true, false, true, false, 2},
	{WAY_COPY, true, true, false, false, 1},
	{WAY_COPY, true, false, false, false, 0},
	{WAY_DIRECT, true, true, false, false, 1},
	{WAY_DIRECT, true, false, false, false, 0},
	{WAY_DIRECT, true, true, true, false, 0},
	/* write-back: the program stored into the page itself */
	{WAY_SPLICE, true, true, false, true, 1},
	{WAY_SPLICE, true, false, false, true, 1},
	{WAY_COPY, true, true, false, true, 0},
	{WAY_COPY, true, false, false, true, 0},
	{WAY_DIRECT, true, true, false, true, 0},
	{WAY_DIRECT, true, false, false, true, 0},
};

TEST(the_kernels_copies_follow_the_table)
{
	for (size_t i = 0; i < sizeof(copies_table) / sizeof(copies_table[0]); i++) {
		const struct copies_row *row = &copies_table[i];
		struct book BOOK b;
		book_init(&b);
		b.h.is_cached = row->is_cached;
		b.rq.is_direct = row->is_direct;
		b.rq.is_writeback = row->is_writeback;
		b.acc.way_bytes[row->way] = N;
		b.acc.user_bytes = 7;
		book_one(&b, row->is_write, N);
		CHECK_EQ(sum(&b, CTR_COPY_TOTAL_BYTES), row->copies * N + 7);
		CHECK_EQ(sum(&b, CTR_COPY_USER_BYTES), 7);
		if (sum(&b, CTR_COPY_TOTAL_BYTES) != row->copies * N + 7)
			printf("# row %zu\n", i);
	}
}

/* With what the paths and the receipt count in the daemon: the whole journey, a byte. */
TEST(whole_journeys_are_as_designed)
{
	static const struct {
		enum way way;
		bool is_cached, is_direct;
		unsigned user, read, write;
	} rows[] = {{WAY_SPLICE, true, false, 0, 2, 2},
		    {WAY_COPY, true, false, 2, 3, 3},
		    {WAY_SPLICE, false, false, 0, 1, 2},
		    {WAY_COPY, false, false, 2, 2, 2},
		    {WAY_DIRECT, false, true, 1, 1, 1}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int is_write = 0; is_write < 2; is_write++) {
			struct book BOOK b;
			book_init(&b);
			b.h.is_cached = rows[i].is_cached;
			b.rq.is_direct = rows[i].is_direct;
			b.acc.way_bytes[rows[i].way] = N;
			b.acc.user_bytes = rows[i].user * N;
			book_one(&b, is_write, N);
			CHECK_EQ(sum(&b, CTR_COPY_TOTAL_BYTES),
				 N * (is_write ? rows[i].write : rows[i].read));
		}
}

TEST(each_way_has_its_counter)
{
	for (int is_write = 0; is_write < 2; is_write++) {
		struct book BOOK b;
		uint64_t total = 0;
		book_init(&b);
		for (int way = 0; way < WAY_COUNT; way++)
			total += b.acc.way_bytes[way] = 1000U + (unsigned)way;
		b.acc.dma_bytes = 4096;
		book_one(&b, is_write, (int64_t)total);
		enum counter first = is_write ? CTR_WRITE_SPLICE_BYTES : CTR_READ_SPLICE_BYTES;
		for (int way = 0; way < WAY_COUNT; way++)
			CHECK_EQ(sum(&b, (enum counter)((int)first + way)), 1000 + way);
		CHECK_EQ(ways(&b, is_write), total);
		CHECK_EQ(ways(&b, !is_write), 0);
		CHECK_EQ(sum(&b, is_write ? CTR_WRITE_BYTES : CTR_READ_BYTES), total);
		CHECK_EQ(sum(&b, is_write ? CTR_READ_BYTES : CTR_WRITE_BYTES), 0);
		CHECK_EQ(sum(&b, is_write ? CTR_WRITE_OPS : CTR_READ_OPS), 1);
		CHECK_EQ(sum(&b, is_write ? CTR_READ_OPS : CTR_WRITE_OPS), 0);
		CHECK_EQ(sum(&b, CTR_DMA_BYTES), 4096);
		CHECK_EQ(sum(&b, CTR_SYSCALLS), 3);
		CHECK_EQ(sum(&b, CTR_DIO_MISALIGNED), 0);
	}
}

TEST(sizes_and_latencies_are_observed)
{
	for (int is_write = 0; is_write < 2; is_write++) {
		struct book BOOK b;
		book_init(&b);
		b.acc.way_bytes[WAY_COPY] = 100;
		book_one(&b, is_write, 100); /* a short one: its size is what was asked for */
		const struct counters_snapshot *s = snapshot(&b);
		const struct histogram_snapshot *size =
			&s->hist[is_write ? HIST_WRITE_SIZE : HIST_READ_SIZE];
		CHECK_EQ(histogram_count(size), 1);
		CHECK_EQ(size->max, N);
		CHECK_EQ(n_seen(s, is_write ? HIST_WRITE_LATENCY : HIST_READ_LATENCY), 1);
		CHECK_EQ(n_seen(s, is_write ? HIST_READ_LATENCY : HIST_WRITE_LATENCY), 0);
		CHECK_EQ(n_seen(s, is_write ? HIST_READ_SIZE : HIST_WRITE_SIZE), 0);
	}
}

TEST(a_failure_moves_nothing)
{
	struct book BOOK b;

	book_init(&b);
	b.acc.is_misaligned = true;
	b.acc.way_bytes[WAY_SPLICE] = 4096; /* as far as it came */
	book_one(&b, true, -EINVAL);
	CHECK_EQ(sum(&b, CTR_WRITE_OPS), 1);
	CHECK_EQ(sum(&b, CTR_WRITE_BYTES) + ways(&b, true), 0);
	CHECK_EQ(sum(&b, CTR_COPY_TOTAL_BYTES) + sum(&b, CTR_DMA_BYTES), 0);
	CHECK_EQ(sum(&b, CTR_DIO_MISALIGNED), 1);
	CHECK_EQ(sum(&b, CTR_SYSCALLS), 3);
	CHECK_EQ(n_seen(snapshot(&b), HIST_WRITE_SIZE), 1);
}

TEST(no_ledger_is_no_booking)
{
	struct book BOOK b;
	struct account_entry e = {.rq = &b.rq, .acc = &b.acc, .result = 1};

	book_init(&b);
	account_book(NULL, &e);
	account_rebook_as_copy(NULL, 100);
	account_book_sync(NULL, true, 0, 0);
	CHECK_EQ(b.h.next_read_off, HANDLE_OFF_NONE);
}

static void move(struct book *b, bool is_write, uint64_t off, int64_t result)
{
	b->rq.off_bytes = off;
	book_one(b, is_write, result);
}

TEST(sequences_are_by_handle_and_direction)
{
	struct book BOOK b;

	book_init(&b);
	move(&b, false, 0, 4096); /* the first follows nothing */
	CHECK_EQ(sum(&b, CTR_READ_SEQUENTIAL_OPS), 0);
	move(&b, false, 4096, 100);
	CHECK_EQ(sum(&b, CTR_READ_SEQUENTIAL_OPS), 1);
	move(&b, true, 4196, 50); /* reads do not make writes sequential */
	CHECK_EQ(sum(&b, CTR_WRITE_SEQUENTIAL_OPS), 0);
	move(&b, false, 4196, 0); /* from the short read's end: at the file's end */
	CHECK_EQ(sum(&b, CTR_READ_SEQUENTIAL_OPS), 2);
	move(&b, false, 4196, -EIO); /* and what failed moved nothing */
	move(&b, false, 4196, 10);
	CHECK_EQ(sum(&b, CTR_READ_SEQUENTIAL_OPS), 4);
	move(&b, false, 0, 10);
	CHECK_EQ(sum(&b, CTR_READ_SEQUENTIAL_OPS), 4);
	move(&b, true, 4246, 50);
	CHECK_EQ(sum(&b, CTR_WRITE_SEQUENTIAL_OPS), 1);
}

/* Afterwards the ledger stands as if the read had been booked as a copy at once. */
TEST(rebooking_is_as_if_booked_so)
{
	for (int is_cached = 0; is_cached < 2; is_cached++) {
		struct book BOOK spliced;
		struct book BOOK copied;
		book_init(&spliced);
		book_init(&copied);
		spliced.h.is_cached = copied.h.is_cached = is_cached;
		spliced.acc.way_bytes[WAY_SPLICE] = N;
		copied.acc.way_bytes[WAY_COPY] = N;
		copied.acc.user_bytes = 2 * N;
		book_one(&spliced, false, N);
		book_one(&copied, false, N);
		account_rebook_as_copy(&spliced.l, N);
		for (int id = 0; id < CTR_COUNT; id++)
			CHECK_EQ(sum(&spliced, (enum counter)id), sum(&copied, (enum counter)id));
		CHECK_EQ(ways(&spliced, false), sum(&spliced, CTR_READ_BYTES));
	}
}

TEST(syncs_are_counted_by_kind)
{
	struct book BOOK b;

	book_init(&b);
	account_book_sync(&b.l, false, 0, account_now());
	account_book_sync(&b.l, true, 0, account_now());
	account_book_sync(&b.l, true, -EIO, account_now());
	CHECK_EQ(sum(&b, CTR_FSYNC_OPS), 1);
	CHECK_EQ(sum(&b, CTR_FDATASYNC_OPS), 2);
	CHECK_EQ(sum(&b, CTR_FSYNC_ERRORS), 1);
	CHECK_EQ(n_seen(snapshot(&b), HIST_FSYNC_LATENCY), 3);
}

static void *book_many(void *arg)
{
	struct book *shared = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct account acc = {.way_bytes = {[WAY_SPLICE] = 10}};
		struct io_request rq = {.handle = &shared->h, .off_bytes = i, .len_bytes = 10};
		struct account_entry e = {.rq = &rq, .acc = &acc, .syscalls = 2, .result = 10};
		account_book(&shared->l, &e);
		if (i % 2)
			account_rebook_as_copy(&shared->l, 10);
	}
	return NULL;
}

TEST(threads_lose_nothing)
{
	struct book BOOK b;
	pthread_t threads[THREADS];

	book_init(&b);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_create(&threads[i], NULL, book_many, &b), 0);
	for (int i = 0; i < THREADS; i++)
		CHECK_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(sum(&b, CTR_READ_OPS), THREADS * ROUNDS);
	CHECK_EQ(sum(&b, CTR_READ_BYTES), THREADS * ROUNDS * 10);
	CHECK_EQ(sum(&b, CTR_READ_SPLICE_BYTES), THREADS * ROUNDS * 5);
	CHECK_EQ(ways(&b, false), THREADS * ROUNDS * 10);
	CHECK_EQ(sum(&b, CTR_SYSCALLS), THREADS * ROUNDS * 2);
}
