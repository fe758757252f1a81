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
#include "base/sync.h"

static struct fuse_out_header header_of(const struct reply_to *to, size_t data_bytes, int err)
{
	return (struct fuse_out_header){.len = (uint32_t)(sizeof(struct fuse_out_header) + data_bytes),
					.error = err,
					.unique = to->unique};
}

/* What a write of a whole message returned. ENOENT means the requester is gone (interrupted, unmounted): nobody to tell. */
static void message_sent(const struct reply_to *to, ssize_t n, size_t len_bytes)
{
	if (n == (ssize_t)len_bytes)
		return;
	int err = n < 0 ? errno : EIO;
	if (err != ENOENT && err != ENODEV)
		log_err("cannot answer the kernel's request %llu: write to /dev/fuse: %s",
			(unsigned long long)to->unique, strerror(err));
}

static void message_send(struct worker *w, const struct reply_to *to, const void *msg, size_t len_bytes)
{
	if (w)
		w->syscalls++;
	sync_answering();
	message_sent(to, write(to->dev_fd, msg, len_bytes), len_bytes);
}

void reply_send_err(struct worker *w, const struct reply_to *to, int err)
{
	struct fuse_out_header header = header_of(to, 0, err);
	message_send(w, to, &header, sizeof(header));
}

void reply_send_written(struct worker *w, const struct reply_to *to, size_t written_bytes)
{
	struct {
		struct fuse_out_header header;
		struct fuse_write_out out;
	} msg = {.out = {.size = (uint32_t)written_bytes}};
	msg.header = header_of(to, sizeof(msg.out), 0);
	message_send(w, to, &msg, sizeof(msg));
}

/* The header goes into the bytes directly before the data, which are the worker's and no longer needed. */
static void send_memory(struct worker *w, const struct reply_to *to, const struct reply *r)
{
	struct fuse_out_header header = header_of(to, r->len_bytes, 0);
	unsigned char *msg = r->mem - sizeof(header);
	memcpy(msg, &header, sizeof(header));
	message_send(w, to, msg, header.len);
}

/* One write(2) of the header and of the pool's own pages. */
static void send_view(struct worker *w, const struct reply_to *to, const struct reply *r)
{
	struct fuse_out_header header = header_of(to, r->len_bytes, 0);
	r->iov[0] = (struct iovec){.iov_base = &header, .iov_len = sizeof(header)};
	w->syscalls++;
	sync_answering();
	message_sent(to, writev(to->dev_fd, r->iov, (int)r->iov_count + 1), header.len);
}

/*
 * By reference: write(2) would have the pipe allocate a page. The bytes before `data` are free until the pipe
 * has been emptied, which is before the next request.
 */
static int header_to_pipe(struct worker *w, const struct pipe *p, const struct reply_to *to,
			  size_t data_bytes)
{
	struct fuse_out_header header = header_of(to, data_bytes, 0);
	struct iovec iov = {.iov_base = w->data - sizeof(header), .iov_len = sizeof(header)};
	memcpy(iov.iov_base, &header, sizeof(header));
	w->syscalls++;
	ssize_t n = vmsplice(p->wr, &iov, 1, 0);
	return n == (ssize_t)sizeof(header) ? 0 : n < 0 ? -errno : -EIO;
}

/*
 * Fills the pipe from the file. Bytes (fewer only where the file ends), or -errno: -EAGAIN, rather than waiting for ever,
 * if the pipe is full because somebody appends byte by byte meanwhile.
 */
static ssize_t range_to_pipe(struct worker *w, const struct reply *r)
{
	loff_t off = (loff_t)r->off_bytes;
	size_t done = 0;
	while (done < r->len_bytes) {
		w->syscalls++;
		ssize_t n = splice(r->fd, &off, w->pipe.wr, NULL, r->len_bytes - done, SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
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
	if (w->spare.rd < 0)
		cred_set_resource(&w->cred, true);
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
	if (err < 0) {
		pipe_close(&w->spare); /* what is in it must not meet the next reply */
		return err;
	}
	struct pipe full = w->spare;
	w->spare = w->pipe;
	w->pipe = full;
	return 0;
}

/* The whole message into the pipe. Bytes of data, or -errno with the pipe in an unknown state. */
static ssize_t fill_pipe(struct worker *w, const struct reply_to *to, const struct reply *r)
{
	int err = header_to_pipe(w, &w->pipe, to, r->len_bytes);
	if (err < 0)
		return err;
	ssize_t n = range_to_pipe(w, r);
	if (n >= 0 && (size_t)n < r->len_bytes)
		err = shorten(w, to, (size_t)n);
	return err < 0 ? err : n;
}

/* Errors of the splice or of the spare pipe (pipe_open()), not of the file: then copying may still serve the request. */
static bool is_splice_refused(ssize_t err)
{
	return err == -EINVAL || err == -EAGAIN || err == -ENOMEM || err == -EOPNOTSUPP ||
	       err == -EPERM || err == -EMFILE || err == -ENFILE;
}

int64_t reply_prepare(struct worker *w, const struct reply_to *to, struct reply *r, struct account *acc)
{
	if (r->kind == REPLY_RANGE) {
		ssize_t n = fill_pipe(w, to, r);
		if (n >= 0) {
			r->len_bytes = (size_t)n;
			acc->way_bytes[WAY_SPLICE] += (size_t)n;
			return n;
		}
		worker_renew_pipe(w);
		if (!is_splice_refused(n))
			return n;
		int err = path_copy_range(w, r->fd, r->off_bytes, r->len_bytes, r, acc);
		if (err < 0)
			return err;
	}
	if (r->kind != REPLY_VIEW)
		acc->way_bytes[r->way] += r->len_bytes;
	acc->user_bytes += r->len_bytes;
	return (int64_t)r->len_bytes;
}

void reply_commit(struct worker *w, const struct reply_to *to, const struct reply *r, struct ledger *ledger)
{
	if (r->kind == REPLY_MEMORY) {
		send_memory(w, to, r);
		return;
	}
	if (r->kind == REPLY_VIEW) {
		send_view(w, to, r);
		return;
	}
	size_t total = sizeof(struct fuse_out_header) + r->len_bytes;
	w->syscalls++;
	sync_answering();
	ssize_t out = splice(w->pipe.rd, NULL, to->dev_fd, NULL, total, 0);
	if (out == (ssize_t)total)
		return;
	int err = out < 0 ? errno : EIO;
	worker_renew_pipe(w);
	if (err == ENOENT || err == ENODEV) /* the requester is gone */
		return;
	struct reply copied;
	struct account unused = {0};
	int rc = path_copy_range(w, r->fd, r->off_bytes, r->len_bytes, &copied, &unused);
	if (rc < 0)
		reply_send_err(w, to, rc);
	else {
		/* Before the answer: after it, file and ledger may be gone. */
		account_rebook_as_copy(ledger, r->len_bytes);
		send_memory(w, to, &copied);
	}
}
