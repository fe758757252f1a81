/*
 * Path copy: pread and pwrite through the worker's aligned buffer; two CPU copies a byte in the daemon. The baseline
 * the others are compared with, and the way of requests too small to gain from anything else.
 */
#include "data/path.h"

static int copy_read(struct worker *w, const struct io_request *rq, struct reply *out, struct account *acc)
{
	int fd = handle_fd(rq->handle, false);
	if (fd < 0)
		return fd;
	return path_copy_range(w, fd, rq->off_bytes, rq->len_bytes, out, acc);
}

static ssize_t copy_write(struct worker *w, const struct io_request *rq, struct payload *in,
			  struct account *acc)
{
	int fd = handle_fd(rq->handle, false);
	if (fd < 0)
		return fd;
	return path_copy_payload(w, rq, fd, in, acc);
}

static bool copy_wants_pipe(size_t len_bytes)
{
	(void)len_bytes;
	return false;
}

const struct path_ops path_copy_ops = {
	.name = "copy",
	.read = copy_read,
	.write = copy_write,
	.wants_pipe = copy_wants_pipe,
};
