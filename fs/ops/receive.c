/* Receiving requests by memory or by pipe; see receive.h. Owns the choice between the two. */
#include "ops/receive.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/sync.h"
#include "ops/ops_file.h"

#define PIPE_CREDIT 8

/* Brings the rest of a piped request into memory. */
static int unpipe(struct worker *w, struct received *r)
{
	size_t done = HEAD_BYTES;
	while (done < (size_t)r->n) {
		w->syscalls++;
		ssize_t n = read(w->pipe.rd, receive_head(w) + done, (size_t)r->n - done);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	r->is_piped = false;
	return 0;
}

static bool is_pipe_wanted(struct worker *w)
{
	sync_received();
	const struct fuse_in_header *in = (const void *)receive_head(w);
	return in->opcode == FUSE_WRITE && ops_file_wants_pipe((const void *)(in + 1));
}

static struct received receive_by_pipe(const struct receiver *from, struct worker *w)
{
	struct received r = {.is_piped = true};
	w->syscalls = 2;
	r.n = splice(from->dev_fd, NULL, w->pipe.wr, NULL, w->pipe.slots * 4096, 0);
	if (r.n < 0)
		return (struct received){.n = -errno};
	ssize_t head = read(w->pipe.rd, receive_head(w), HEAD_BYTES);
	if (head < (ssize_t)sizeof(struct fuse_in_header))
		return (struct received){.n = head < 0 ? -errno : -EIO};
	if (r.n <= (ssize_t)HEAD_BYTES)
		r.is_piped = false;
	else if (!is_pipe_wanted(w)) {
		int err = unpipe(w, &r);
		if (err < 0)
			return (struct received){.n = err};
	}
	return r;
}

struct received receive(struct receiver *from, struct worker *w)
{
	worker_retry_pipe(w);
	if (w->pipe.rd >= 0 && atomic_load_explicit(&from->pipe_credit, memory_order_relaxed) > 0) {
		struct received r = receive_by_pipe(from, w);
		bool is_retry_by_memory = r.n == -EINVAL || r.n == -EIO || r.n == -ENOMEM;
		if (!is_retry_by_memory)
			return r;
		/* The kernel leaves a request it could not splice in the queue. */
		atomic_store_explicit(&from->pipe_credit, 0, memory_order_relaxed);
		worker_renew_pipe(w);
	}
	w->syscalls = 1;
	ssize_t n = read(from->dev_fd, receive_head(w), HEAD_BYTES + w->data_bytes);
	return (struct received){.n = n < 0 ? -errno : n};
}

void receive_learn(struct receiver *from, bool is_large_write)
{
	int credit = atomic_load_explicit(&from->pipe_credit, memory_order_relaxed);
	if (is_large_write && credit < PIPE_CREDIT)
		atomic_store_explicit(&from->pipe_credit, PIPE_CREDIT, memory_order_relaxed);
	else if (!is_large_write && credit > 0)
		atomic_store_explicit(&from->pipe_credit, credit - 1, memory_order_relaxed);
}
