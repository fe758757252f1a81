/*
 * Booking a request in its file's ledger: bytes by way, CPU copies, system calls, latency, size, sequence.
 *
 * CPU copies a byte, kernel's part (the daemon's own are counted where they happen, in account.user_bytes):
 *
 *   read  splice  pipe page -> FUSE page                              1      write  splice  cached: page -> backing   1
 *         copy    (both copies are the daemon's)                      0             direct_io: user -> pipe -> backing 2
 *         direct  (DMA, then the daemon's reply)                      0             copy, direct, pool                 0
 *         pool    (the daemon's reply from the pool's page)           0
 *   and one more between the program's memory and the kernel's FUSE page cache if the open uses that cache, except for
 *   write-back of mapped pages, which the program stored into directly.
 */
#include "data/account.h"

/* Copies inside the kernel per byte that went by `way`. */
static unsigned kernel_copies(const struct account_entry *e, enum way way)
{
	bool is_cached = e->rq->handle->is_cached && !e->rq->is_direct;
	bool has_user_copy = is_cached && !(e->is_write && e->rq->is_writeback);
	unsigned copies = has_user_copy ? 1 : 0;
	if (way == WAY_SPLICE || way == WAY_MMAP)
		copies += e->is_write && !is_cached && !e->rq->is_writeback ? 2 : 1;
	return copies;
}

static void book_ways(struct counters *c, const struct account_entry *e)
{
	static const enum counter of_read[WAY_COUNT] = {
		[WAY_SPLICE] = CTR_READ_SPLICE_BYTES,
		[WAY_COPY] = CTR_READ_COPY_BYTES,
		[WAY_DIRECT] = CTR_READ_DIRECT_BYTES,
		[WAY_MMAP] = CTR_READ_MMAP_BYTES,
		[WAY_POOL_HIT] = CTR_READ_POOL_HIT_BYTES,
		[WAY_POOL_MISS] = CTR_READ_POOL_MISS_BYTES,
		[WAY_KERNEL] = CTR_READ_KERNEL_BYTES,
	};
	static const enum counter of_write[WAY_COUNT] = {
		[WAY_SPLICE] = CTR_WRITE_SPLICE_BYTES,
		[WAY_COPY] = CTR_WRITE_COPY_BYTES,
		[WAY_DIRECT] = CTR_WRITE_DIRECT_BYTES,
		[WAY_MMAP] = CTR_WRITE_MMAP_BYTES,
		[WAY_POOL_HIT] = CTR_WRITE_POOL_HIT_BYTES,
		[WAY_POOL_MISS] = CTR_WRITE_POOL_MISS_BYTES,
		[WAY_KERNEL] = CTR_WRITE_KERNEL_BYTES,
	};
	static const unsigned usual_copies[WAY_COUNT] = {
		[WAY_COPY] = USUAL_COPIES_COPY,
		[WAY_DIRECT] = USUAL_COPIES_DIRECT,
		[WAY_POOL_HIT] = USUAL_COPIES_POOL,
		[WAY_POOL_MISS] = USUAL_COPIES_POOL,
	};
	uint64_t kernel_bytes = 0, usual_bytes = 0;
	/* What failed moved nothing, however far it came. */
	for (int way = 0; way < WAY_COUNT && e->result >= 0; way++) {
		uint64_t n = e->acc->way_bytes[way];
		if (n == 0)
			continue;
		counters_add(c, e->is_write ? of_write[way] : of_read[way], n);
		kernel_bytes += n * kernel_copies(e, (enum way)way);
		usual_bytes += n * usual_copies[way];
	}
	if (e->acc->user_bytes != usual_bytes)
		counters_add(c, CTR_COPY_USER_BYTES, e->acc->user_bytes - usual_bytes);
	if (kernel_bytes > 0)
		counters_add(c, CTR_COPY_KERNEL_BYTES, kernel_bytes);
}

/*
 * Whether the request starts where the handle's last one ended; remembers where this one does. Requests at once have no
 * order to be in, so a load and a store do: a locked exchange would only cost time.
 */
static bool is_sequential(const struct account_entry *e, uint64_t moved_bytes)
{
	_Atomic uint64_t *next =
		e->is_write ? &e->rq->handle->next_write_off : &e->rq->handle->next_read_off;
	uint64_t expected = atomic_load_explicit(next, memory_order_relaxed);
	atomic_store_explicit(next, e->rq->off_bytes + moved_bytes, memory_order_relaxed);
	return expected == e->rq->off_bytes;
}

void account_book(struct ledger *l, const struct account_entry *e)
{
	if (!l)
		return;
	struct counters *c = &l->counters;
	uint64_t moved = e->result > 0 ? (uint64_t)e->result : 0;
	if (!counters_observe(c, e->is_write ? HIST_WRITE_SIZE : HIST_READ_SIZE, e->rq->len_bytes))
		counters_add(c, e->is_write ? CTR_WRITE_OPS : CTR_READ_OPS, 1);
	book_ways(c, e);
	if (e->acc->dma_bytes > 0)
		counters_add(c, CTR_DMA_BYTES, e->acc->dma_bytes);
	if (e->syscalls != USUAL_SYSCALLS)
		counters_add(c, CTR_SYSCALLS, (uint64_t)e->syscalls - USUAL_SYSCALLS);
	if (e->acc->is_misaligned)
		counters_add(c, CTR_DIO_MISALIGNED, 1);
	if (is_sequential(e, moved))
		counters_add(c, e->is_write ? CTR_WRITE_SEQUENTIAL_OPS : CTR_READ_SEQUENTIAL_OPS, 1);
	(void)counters_observe(c, e->is_write ? HIST_WRITE_LATENCY : HIST_READ_LATENCY,
			       account_elapsed_ns(e->arrival_ticks));
}

void account_rebook_as_copy(struct ledger *l, uint64_t n)
{
	if (!l)
		return;
	counters_add(&l->counters, CTR_READ_COPY_BYTES, n);
	counters_add(&l->counters, CTR_READ_SPLICE_BYTES, -n);
	counters_add(&l->counters, CTR_COPY_KERNEL_BYTES, -n);
}

void account_book_sync(struct ledger *l, bool is_datasync, int err, uint64_t arrival_ticks)
{
	if (!l)
		return;
	counters_add(&l->counters, is_datasync ? CTR_FDATASYNC_OPS : CTR_FSYNC_OPS, 1);
	if (err < 0)
		counters_add(&l->counters, CTR_FSYNC_ERRORS, 1);
	(void)counters_observe(&l->counters, HIST_FSYNC_LATENCY, account_elapsed_ns(arrival_ticks));
}
