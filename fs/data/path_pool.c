/*
 * Path pool: the daemon's own cache (pool/pool.h) between the program and a backing that is reached by O_DIRECT only.
 *
 *   read    pool's pages --writev--> /dev/fuse     one copy a byte, nothing moves inside the daemon
 *   write   through:  the backing first, as path direct does it, then the pool's pages
 *           back:     the pool's pages alone; the pool writes them in its time
 *
 * In write-back mode these still go through: what is to be durable when it is answered, appends (only the backing knows where the
 * end is), write-back of mapped pages, and the first write after set-id bits or capabilities may have come to the file, because
 * the backing takes them away. What the pool does not take, goes through as well.
 */
#include <string.h>
#include <sys/stat.h>

#include "data/path_direct.h"
#include "data/pool_guard.h"
#include "data/pool_open.h"
#include "node/dio.h"

static void count_pages(const struct handle *h, const struct pool_view *view)
{
	struct ledger *l = node_ledger_peek(h->node);
	if (l && view->hit_pages > 0)
		counters_add(&l->counters, CTR_POOL_HITS, view->hit_pages);
	if (l && view->miss_pages > 0)
		counters_add(&l->counters, CTR_POOL_MISSES, view->miss_pages);
}

static int pool_path_read(struct worker *w, const struct io_request *rq, struct reply *out,
			  struct account *acc)
{
	struct pool_open *o = rq->handle->pool;
	struct pool_view *view = &w->view;
	ssize_t n = pool_read(o->file, rq->off_bytes, rq->len_bytes, &o->stream, w->data, view);
	if (n < 0)
		return (int)n;
	w->view_file = o->file;
	w->syscalls += view->syscalls;
	count_pages(rq->handle, view);
	*out = (struct reply){
		.kind = REPLY_VIEW, .len_bytes = (size_t)n, .iov = view->iov, .iov_count = view->count};
	if (view->count == 0 && n > 0) {
		view->iov[1] = (struct iovec){.iov_base = view->mem, .iov_len = (size_t)n};
		out->iov_count = 1;
		acc->user_bytes += view->hit_bytes;
	}
	acc->way_bytes[WAY_POOL_HIT] += view->hit_bytes;
	acc->way_bytes[WAY_POOL_MISS] += view->miss_bytes;
	acc->dma_bytes += view->dma_bytes;
	return 0;
}

static void pool_path_done(struct worker *w)
{
	pool_view_done(w->view_file, &w->view);
}

/* Blocks begin where they do in memory, so that a write of them need not move what the pool is given afterwards. */
static void align_payload(struct worker *w, uint64_t off_bytes, struct payload *in, struct account *acc)
{
	unsigned char *mem = w->data + off_bytes % DIO_ALIGN_DEFAULT;
	if (in->mem == mem)
		return;
	memmove(mem, in->mem, in->len_bytes);
	in->mem = mem;
	acc->user_bytes += in->len_bytes;
}

static int through_begin(struct pool_guard *g, const struct io_request *rq, size_t len_bytes,
			 uint64_t *at_bytes)
{
	struct node *n = rq->handle->node;
	*at_bytes = rq->off_bytes;
	if (rq->is_append)
		return pool_guard_append(g, n, handle_any_fd(rq->handle), at_bytes);
	return pool_guard_begin(g, n, rq->off_bytes, len_bytes, false);
}

/* Where an append of n bytes landed is known unless the file was appended to underneath meanwhile. */
static bool has_landed(int fd, uint64_t at_bytes, ssize_t n)
{
	struct stat st;
	return at_bytes != UINT64_MAX && fstat(fd, &st) == 0 &&
	       (uint64_t)st.st_size == at_bytes + (uint64_t)n;
}

/* Bytes, or -errno. */
static ssize_t write_through(struct worker *w, const struct io_request *rq, struct payload *in,
			     struct account *acc)
{
	struct account parts = {0};
	struct pool_guard g;
	uint64_t at_bytes;
	uint32_t privs = pool_open_privs(rq->handle);
	int fd = handle_fd(rq->handle, true);
	if (fd < 0)
		return fd;
	if (!rq->is_append)
		align_payload(w, rq->off_bytes, in, acc);
	int err = through_begin(&g, rq, in->len_bytes, &at_bytes);
	if (err < 0)
		return err;
	ssize_t n = path_direct_split_write(w, rq, fd, in, &parts);
	if (n < 0 || (size_t)n < in->len_bytes ||
	    (rq->is_append && (g.is_grown_underneath || !has_landed(fd, at_bytes, n))))
		pool_guard_end(&g, fd, n > 0 && !rq->is_append ? at_bytes + (uint64_t)n : 0);
	else
		pool_change_end(g.file, &g.change, in->mem, at_bytes, (size_t)n, POOL_SIZE_GREW);
	acc->user_bytes += parts.user_bytes;
	acc->dma_bytes += parts.dma_bytes;
	if (n > 0) {
		acc->way_bytes[WAY_POOL_MISS] += (uint64_t)n;
		pool_open_privs_written(rq->handle, rq->is_kill, privs);
	}
	return n;
}

/* Bytes that the pool took, or -errno. */
static ssize_t write_back(const struct io_request *rq, const struct payload *in, struct account *acc)
{
	const struct pool_open *o = rq->handle->pool;
	uint64_t hit_bytes = 0, miss_bytes = 0;
	if (!pool_is_write_back(o->pool) || rq->is_append || rq->is_sync || rq->is_writeback ||
	    pool_open_is_privs_due(rq->handle, rq->is_kill))
		return 0;
	ssize_t n = pool_write(o->file, in->mem, in->len_bytes, rq->off_bytes, &hit_bytes, &miss_bytes);
	if (n <= 0)
		return n;
	acc->way_bytes[WAY_POOL_HIT] += hit_bytes;
	acc->way_bytes[WAY_POOL_MISS] += miss_bytes;
	acc->user_bytes += (uint64_t)n;
	return n;
}

static ssize_t pool_path_write(struct worker *w, const struct io_request *rq, struct payload *in,
			       struct account *acc)
{
	int err = payload_to_memory(w, in, acc);
	if (err < 0)
		return err;
	ssize_t taken = write_back(rq, in, acc);
	if (taken < 0)
		return taken;
	in->mem += taken;
	in->len_bytes -= (size_t)taken;
	if (in->len_bytes == 0)
		return taken;
	struct io_request rest = *rq;
	rest.off_bytes += (uint64_t)taken;
	rest.len_bytes = in->len_bytes;
	ssize_t n = write_through(w, &rest, in, acc);
	if (n < 0)
		return taken > 0 ? taken : n;
	in->len_bytes -= (size_t)n;
	return taken + n;
}

static bool pool_path_wants_pipe(size_t len_bytes)
{
	(void)len_bytes;
	return false;
}

const struct path_ops path_pool_ops = {
	.name = "pool",
	.read = pool_path_read,
	.write = pool_path_write,
	.wants_pipe = pool_path_wants_pipe,
	.done = pool_path_done,
};
