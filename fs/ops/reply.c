/*
 * Replies that carry file data. Owns the order in which a spliced reply is put together:
 *
 *   pipe:  [fuse_out_header][page][page]...        one splice(2) to /dev/fuse takes the whole message
 *
 * The header names the length, so it is written first with the length asked for. If the range turns out shorter (the
 * file ends), the pages move to the spare pipe behind a header that is right: references again, no byte is copied.
 */
#include "ops/reply.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/uio.h>

#include "base/log.h"

static struct fuse_out_header header_of(const struct reply_to *to, size_t data_bytes, int err)
{
	return (struct fuse_out_header){.len = (uint32_t)(sizeof(struct fuse_out_header) + data_bytes),
					.error = err,
					.unique = to->unique};
}

/* A whole message in one write. ENOENT means the requester is gone (interrupted, unmounted): nobody to tell. */
static int message_send(struct worker *w, const struct reply_to *to, const void *msg, size_t len_bytes)
{
	if (w)
		w->syscalls++;
	ssize_t n = write(to->dev_fd, msg, len_bytes);
	if (n == (ssize_t)len_bytes)
		return 0;
	int err = n < 0 ? errno : EIO;
	if (err != ENOENT && err != ENODEV)
		log_err("cannot answer the kernel's request %llu: write to /dev/fuse: %s",
			(unsigned long long)to->unique, strerror(err));
	return -err;
}

void reply_send_err(struct worker *w, const struct reply_to *to, int err)
{
	struct fuse_out_header header = header_of(to, 0, err);
	(void)message_send(w, to, &header, sizeof(header));
}

void reply_send_written(struct worker *w, const struct reply_to *to, size_t written_bytes)
{
	struct {
		struct fuse_out_header header;
		struct fuse_write_out out;
	} msg = {.out = {.size = (uint32_t)written_bytes}};
	msg.header = header_of(to, sizeof(msg.out), 0);
	(void)message_send(w, to, &msg, sizeof(msg));
}

/* The header goes into the bytes directly before the data, which are the worker's and no longer needed. */
static int64_t send_memory(struct worker *w, const struct reply_to *to, const struct reply *r, struct account *acc)
{
	struct fuse_out_header header = header_of(to, r->len_bytes, 0);
	unsigned char *msg = r->mem - sizeof(header);
	memcpy(msg, &header, sizeof(header));
	int err = message_send(w, to, msg, header.len);
	if (err < 0)
		return err;
	acc->way_bytes[r->way] += r->len_bytes;
	acc->user_bytes += r->len_bytes;
	return (int64_t)r->len_bytes;
}

static int header_to_pipe(struct worker *w, const struct pipe *p, const struct reply_to *to, size_t data_bytes)
{
	struct fuse_out_header header = header_of(to, data_bytes, 0);
	w->syscalls++;
	ssize_t n = write(p->wr, &header, sizeof(header));
	return n == (ssize_t)sizeof(header) ? 0 : n < 0 ? -errno : -EIO;
}

/* Fills the pipe from the file. Bytes (fewer at the end of file), or -errno if not even one. */
static ssize_t range_to_pipe(struct worker *w, const struct reply *r)
{
	loff_t off = (loff_t)r->off_bytes;
	size_t done = 0;
	while (done < r->len_bytes) {
		w->syscalls++;
		ssize_t n = splice(r->fd, &off, w->pipe.wr, NULL, r->len_bytes - done, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

/* [header for too many][pages] in the pipe: moves the pages behind a right header in the spare one, and swaps them. */
static int shorten(struct worker *w, const struct reply_to *to, size_t data_bytes)
{
	struct fuse_out_header wrong;
	w->syscalls++;
	if (read(w->pipe.rd, &wrong, sizeof(wrong)) != (ssize_t)sizeof(wrong))
		return -EIO;
	int err = pipe_open(&w->spare, w->pipe.slots);
	if (err == 0)
		err = header_to_pipe(w, &w->spare, to, data_bytes);
	for (size_t done = 0; err == 0 && done < data_bytes;) {
		w->syscalls++;
		ssize_t n = splice(w->pipe.rd, NULL, w->spare.wr, NULL, data_bytes - done, 0);
		if (n <= 0)
			err = n < 0 ? -errno : -EIO;
		else
			done += (size_t)n;
	}
	if (err < 0)
		return err;
	struct pipe full = w->spare;
	w->spare = w->pipe;
	w->pipe = full;
	return 0;
}

/* 0 with *sent set, or -errno with the pipe in an unknown state. */
static int send_range(struct worker *w, const struct reply_to *to, const struct reply *r, size_t *sent)
{
	int err = header_to_pipe(w, &w->pipe, to, r->len_bytes);
	if (err < 0)
		return err;
	ssize_t n = range_to_pipe(w, r);
	if (n < 0)
		return (int)n;
	if ((size_t)n < r->len_bytes)
		err = shorten(w, to, (size_t)n);
	if (err < 0)
		return err;
	size_t total = sizeof(struct fuse_out_header) + (size_t)n;
	w->syscalls++;
	ssize_t out = splice(w->pipe.rd, NULL, to->dev_fd, NULL, total, 0);
	if (out != (ssize_t)total)
		return out < 0 ? -errno : -EIO;
	*sent = (size_t)n;
	return 0;
}

/* Errors of the splice itself, not of the file: then copying may still serve the request. */
static bool is_splice_refused(int err)
{
	return err == -EINVAL || err == -EAGAIN || err == -ENOMEM || err == -EOPNOTSUPP;
}

int64_t reply_send(struct worker *w, const struct reply_to *to, const struct reply *r, struct account *acc)
{
	if (r->kind == REPLY_MEMORY)
		return send_memory(w, to, r, acc);
	size_t sent = 0;
	int err = send_range(w, to, r, &sent);
	if (err == 0) {
		acc->way_bytes[WAY_SPLICE] += sent;
		return (int64_t)sent;
	}
	int renewed = pipe_renew(&w->pipe);
	if (renewed < 0)
		log_err("cannot renew a worker's pipe, it copies from now on: %s", strerror(-renewed));
	if (err == -ENOENT || err == -ENODEV)
		return err;
	struct reply copied;
	if (is_splice_refused(err))
		err = path_copy_range(w, r->fd, r->off_bytes, r->len_bytes, &copied, acc);
	if (err == 0)
		return send_memory(w, to, &copied, acc);
	reply_send_err(w, to, err);
	return err;
}
