/*
 * Path splice: backing page cache -> pipe -> /dev/fuse and back, by reference: the bytes never enter the daemon's memory.
 *
 *   read:   file --splice--> pipe [header|page|page|..] --splice--> /dev/fuse     (ops/reply.c does both)
 *   write:  /dev/fuse --splice--> pipe [header|page|..] --splice--> file
 *
 * Requests below SPLICE_*_MIN_BYTES are copied, because moving references costs more than moving a few pages. Appends are
 * copied, because splice(2) refuses an O_APPEND file and has no per-call append. Never with SPLICE_F_MOVE: it steals
 * pages from the backing's cache and measured slower.
 */
#include "data/path.h"

#include <fcntl.h>

static int splice_read(struct worker *w, const struct io_request *rq, struct reply *out,
		       struct account *acc)
{
	int fd = handle_fd(rq->handle, false);
	if (fd < 0)
		return fd;
	if (rq->len_bytes < SPLICE_READ_MIN_BYTES || w->pipe.rd < 0)
		return path_copy_range(w, fd, rq->off_bytes, rq->len_bytes, out, acc);
	*out = (struct reply){
		.kind = REPLY_RANGE, .fd = fd, .off_bytes = rq->off_bytes, .len_bytes = rq->len_bytes};
	return 0;
}

/* The pipe's payload goes to fd; what a backing that cannot be spliced into leaves is copied. */
static ssize_t splice_payload(struct worker *w, const struct io_request *rq, int fd,
			      struct payload *in, struct account *acc)
{
	loff_t off = (loff_t)rq->off_bytes;
	size_t done = 0;
	while (in->len_bytes > 0) {
		w->syscalls++;
		ssize_t n = splice(w->pipe.rd, NULL, fd, &off, in->len_bytes, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL && done == 0)
			return path_copy_payload(w, rq, fd, in, acc);
		if (n < 0 && (done == 0 || rq->is_writeback))
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
		in->len_bytes -= (size_t)n;
	}
	acc->way_bytes[WAY_SPLICE] += done;
	return (ssize_t)done;
}

static ssize_t splice_write(struct worker *w, const struct io_request *rq, struct payload *in,
			    struct account *acc)
{
	int fd = handle_fd(rq->handle, false);
	if (fd < 0)
		return fd;
	if (in->mem || rq->is_append)
		return path_copy_payload(w, rq, fd, in, acc);
	return splice_payload(w, rq, fd, in, acc);
}

static bool splice_wants_pipe(size_t len_bytes)
{
	return len_bytes >= SPLICE_WRITE_MIN_BYTES;
}

const struct path_ops path_splice_ops = {
	.name = "splice",
	.read = splice_read,
	.write = splice_write,
	.wants_pipe = splice_wants_pipe,
};
