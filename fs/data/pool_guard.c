/*
 * Owns nothing: begin and end bracket a change that somebody else makes.
 */
#include "data/pool_guard.h"

#include <sys/stat.h>

int pool_guard_begin(struct pool_guard *g, struct node *n, uint64_t off_bytes, uint64_t len_bytes,
		     bool is_truncate)
{
	g->file = node_pool_file(n);
	int err = g->file ? pool_change_begin(g->file, &g->change, off_bytes, len_bytes, is_truncate)
			  : 0;
	if (err < 0)
		g->file = NULL;
	return err;
}

static uint64_t size_of(int fd)
{
	struct stat st;
	return fstat(fd, &st) < 0 ? POOL_SIZE_GREW : (uint64_t)st.st_size;
}

void pool_guard_end(struct pool_guard *g, int fd, uint64_t end_bytes)
{
	if (!g->file)
		return;
	/* Without the end held, what fstat() says might be out of date before it is noted. */
	bool has_end = g->change.len_bytes == POOL_TO_END;
	pool_change_end(g->file, &g->change, NULL, end_bytes, 0, has_end ? size_of(fd) : POOL_SIZE_GREW);
}

int pool_guard_append(struct pool_guard *g, struct node *n, int fd, uint64_t *end_bytes)
{
	struct pool_file *f = node_pool_file(n);
	struct stat st;
	uint64_t from;
	do {
		from = fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
		/* Longer than the pool knows, by somebody underneath: its pages from there on are not what is there. */
		uint64_t known = f ? pool_file_size(f) : from;
		g->is_grown_underneath = from > known;
		from = from < known ? from : known;
		int err = pool_guard_begin(g, n, from, POOL_TO_END, false);
		if (err < 0)
			return err;
		/* From now on nobody truncates it but underneath; before, somebody may have. */
		*end_bytes = size_of(fd);
		if (*end_bytes < from)
			pool_guard_end(g, fd, 0);
	} while (*end_bytes < from);
	return 0;
}

int pool_guard_write_begin(struct pool_guard *g, const struct io_request *rq)
{
	struct node *n = rq->handle->node;
	uint64_t end_bytes;
	g->file = NULL;
	if (!node_pool_file(n))
		return 0;
	if (rq->is_append)
		return pool_guard_append(g, n, handle_any_fd(rq->handle), &end_bytes);
	return pool_guard_begin(g, n, rq->off_bytes, rq->len_bytes, false);
}

void pool_guard_write_end(struct pool_guard *g, const struct io_request *rq, ssize_t n)
{
	uint64_t end_bytes = n > 0 && !rq->is_append ? rq->off_bytes + (uint64_t)n : 0;
	pool_guard_end(g, handle_any_fd(rq->handle), end_bytes);
}

int pool_guard_read(struct node *n, uint64_t off_bytes, uint64_t len_bytes)
{
	struct pool_file *f = node_pool_file(n);
	return f ? pool_file_flush_range(f, off_bytes, len_bytes) : 0;
}

bool pool_guard_times(struct node *n)
{
	struct pool_file *f = node_pool_file(n);
	return f && pool_file_settle_times(f);
}
