/*
 * READ and WRITE: from the kernel's request to a data path, to the ledger, to the reply. Each request is booked once, before
 * its answer goes out, so that whoever has the answer finds it counted.
 */
#include "ops/ops_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/account.h"
#include "data/pool_guard.h"
#include "node/dio.h"
#include "node/mode.h"
#include "ops/notify.h"

#define DROP_WAIT_NS (2LL * 1000 * 1000)

static void book(const struct file_request *r, const struct io_request *rq,
		 const struct account *acc, bool is_write, int64_t result)
{
	struct account_entry e = {
		.rq = rq,
		.acc = acc,
		.is_write = is_write,
		.syscalls = r->w->syscalls + 1, /* the reply is still to come */
		.arrival_ticks = r->arrival_ticks,
		.result = result,
	};
	struct ledger *ledger = node_ledger(rq->handle->nodes, rq->handle->node);
	account_book(ledger, &e);
	if (ledger && result > 0) {
		uint64_t key = mrc_file_key(ledger);
		mrc_access(r->fs->mrc, key, rq->off_bytes, (uint64_t)result);
		if (r->fs->ghost)
			ghost_access(r->fs->ghost, key, rq->off_bytes, (uint64_t)result);
	}
}

/* 0 or -errno. What the pool has not written yet is written for who reads past it. */
static int read_by(enum path_id path, const struct file_request *r, const struct io_request *rq,
		   struct reply *reply, struct account *acc)
{
	int err = path == PATH_ID_pool
			  ? 0
			  : pool_guard_read(rq->handle->node, rq->off_bytes, rq->len_bytes);
	return err < 0 ? err : path_ops_get(path)->read(r->w, rq, reply, acc);
}

void ops_file_read(const struct file_request *r, const struct fuse_read_in *in)
{
	struct io_request rq = {
		.handle = (struct handle *)(uintptr_t)in->fh,
		.off_bytes = in->offset,
		.len_bytes = in->size,
		.is_direct = in->flags & O_DIRECT,
	};
	struct account acc = {0};
	struct reply reply = {0};
	int64_t n = -EINVAL;
	/* A READ that no program's read(2) made: a mapping of an open that is otherwise without the kernel's cache. */
	if (!rq.handle->is_cached && !(in->read_flags & FUSE_READ_LOCKOWNER))
		mode_mapped(rq.handle->node);
	enum path_id path = path_resolve(rq.handle->path, rq.is_direct);
	if (rq.len_bytes <= r->fs->max_io_bytes)
		n = read_by(path, r, &rq, &reply, &acc);
	if (n == 0)
		n = reply_prepare(r->w, &r->to, &reply, &acc);
	book(r, &rq, &acc, false, n);
	if (n < 0) {
		reply_send_err(r->w, &r->to, (int)n);
		return;
	}
	reply_commit(r->w, &r->to, &reply, node_ledger_peek(rq.handle->node));
	if (reply.kind == REPLY_VIEW)
		path_ops_get(path)->done(r->w);
}

/* The data is not where the kernel's cache has it: somebody appended underneath. */
static bool is_append_displaced(struct worker *w, const struct io_request *rq, ssize_t n)
{
	struct stat st;
	if (!rq->is_append)
		return false;
	w->syscalls++;
	return fstat(handle_any_fd(rq->handle), &st) == 0 &&
	       (uint64_t)st.st_size != rq->off_bytes + (uint64_t)n;
}

/* Whether the kernel's cached pages of the range must go before the write is answered (node/mode.h, rule 3). */
static bool is_past_cache(const struct io_request *rq)
{
	return (rq->is_direct || !rq->handle->is_cached) && !rq->is_writeback &&
	       mode_has_cached_opens(rq->handle->node);
}

static void answer_displaced(const struct file_request *r, const struct io_request *rq, ssize_t n)
{
	if (rq->is_direct || !rq->handle->is_cached) {
		notifier_answer_write(r->fs->notifier, &r->to, r->nodeid, 0, 0, (size_t)n);
		return;
	}
	/* The kernel may hold the write's last page locked until the answer. */
	reply_send_written(r->w, &r->to, (size_t)n);
	notifier_drop(r->fs->notifier, r->nodeid, 0, 0);
}

/*
 * A write through the kernel's cache, of whose pages some may have been dropped since the kernel filled them, and read again
 * before they were written (node/mode.h, rule 4). Where it covers whole pages none of them is locked by the kernel until the
 * answer, and they are dropped before it; the limit is for a kernel that sees that differently.
 */
static void answer_shaken(const struct file_request *r, const struct io_request *rq, ssize_t n)
{
	bool is_whole = rq->off_bytes % DIO_ALIGN_DEFAULT == 0 && (uint64_t)n % DIO_ALIGN_DEFAULT == 0;
	if (is_whole)
		notifier_drop_within(r->fs->notifier, r->nodeid, rq->off_bytes, (uint64_t)n, DROP_WAIT_NS);
	reply_send_written(r->w, &r->to, (size_t)n);
	if (!is_whole)
		notifier_drop(r->fs->notifier, r->nodeid, rq->off_bytes, (uint64_t)n);
}

static bool is_through_cache(const struct io_request *rq)
{
	return rq->handle->is_cached && !rq->is_direct && !rq->is_writeback;
}

static void answer_write(const struct file_request *r, const struct io_request *rq, ssize_t n,
			 bool was_shaken)
{
	if (n < 0)
		reply_send_err(r->w, &r->to, (int)n);
	else if (is_append_displaced(r->w, rq, n)) {
		mode_shake(rq->handle->node);
		answer_displaced(r, rq, n);
	} else if (is_past_cache(rq)) {
		mode_shake(rq->handle->node);
		notifier_answer_write(r->fs->notifier, &r->to, r->nodeid, rq->off_bytes,
				      (uint64_t)n, (size_t)n);
	} else if (was_shaken || (is_through_cache(rq) && mode_is_shaken(rq->handle->node)))
		answer_shaken(r, rq, n);
	else
		reply_send_written(r->w, &r->to, (size_t)n);
}

/* RWF_DSYNC or RWF_SYNC of one write: more than the open asked for, so the backing descriptor does not know. */
static bool is_sync_owed(const struct io_request *rq, const struct fuse_write_in *in)
{
	unsigned wanted = in->flags & (unsigned)O_SYNC;
	return !rq->is_writeback && (wanted & ~(unsigned)rq->handle->open_flags) != 0;
}

/* n, or -errno of the sync. */
static ssize_t sync_now(struct worker *w, const struct io_request *rq,
			const struct fuse_write_in *in, ssize_t n)
{
	int fd = handle_any_fd(rq->handle);
	w->syscalls++;
	int rc = (in->flags & O_SYNC) == O_SYNC ? fsync(fd) : fdatasync(fd);
	return rc < 0 ? -errno : n;
}

/* Bytes or -errno. */
static ssize_t write_by(enum path_id path, const struct file_request *r,
			const struct io_request *rq, struct payload *payload, struct account *acc)
{
	const struct path_ops *ops = path_ops_get(path);
	struct pool_guard guard;
	if (path == PATH_ID_pool)
		return ops->write(r->w, rq, payload, acc);
	int err = pool_guard_write_begin(&guard, rq);
	if (err < 0)
		return err;
	ssize_t n = ops->write(r->w, rq, payload, acc);
	pool_guard_write_end(&guard, rq, n);
	return n;
}

void ops_file_write(const struct file_request *r, const struct fuse_write_in *in, struct payload *payload)
{
	struct io_request rq = {
		.handle = (struct handle *)(uintptr_t)in->fh,
		.off_bytes = in->offset,
		.len_bytes = payload->len_bytes,
		.is_direct = in->flags & O_DIRECT && !(in->write_flags & FUSE_WRITE_CACHE),
		.is_writeback = in->write_flags & FUSE_WRITE_CACHE,
	};
	rq.is_append = in->flags & O_APPEND && !rq.is_writeback;
	rq.is_sync = (in->flags | (unsigned)rq.handle->open_flags) & O_DSYNC;
	rq.is_kill = in->write_flags & FUSE_WRITE_KILL_SUIDGID;
	/* Write-back has no caller; it is done as root, for the program has been told long ago that there is space. */
	cred_serve(&r->w->cred, rq.is_writeback ? 0 : r->uid, rq.is_writeback ? 0 : r->gid);
	/* Who may not set set-id bits loses them by writing; write-back speaks for a store that took none away. */
	if (r->fs->has_killpriv)
		cred_set_fsetid(&r->w->cred, !(in->write_flags & FUSE_WRITE_KILL_SUIDGID));
	/* A payload in memory was copied there by the request's receipt. */
	struct account acc = {.user_bytes = payload->mem ? payload->len_bytes : 0};
	enum path_id path = path_resolve(rq.handle->path, rq.is_direct);
	/* Asked before as well, for the write may take longer than the state lasts. */
	bool is_shaken = is_through_cache(&rq) && mode_is_shaken(rq.handle->node);
	ssize_t n = write_by(path, r, &rq, payload, &acc);
	/* Of a write-back the kernel reads the error only: a short one would be taken for whole. */
	if (rq.is_writeback && n >= 0 && (size_t)n < rq.len_bytes)
		n = -EIO;
	if (n > 0 && is_sync_owed(&rq, in))
		n = sync_now(r->w, &rq, in, n);
	book(r, &rq, &acc, true, n);
	answer_write(r, &rq, n, is_shaken);
	if (!payload->mem && payload->len_bytes > 0)
		worker_renew_pipe(r->w);
}

bool ops_file_wants_pipe(const struct fuse_write_in *in)
{
	const struct handle *h = (const struct handle *)(uintptr_t)in->fh;
	bool is_direct = in->flags & O_DIRECT && !(in->write_flags & FUSE_WRITE_CACHE);
	return !(in->flags & O_APPEND) &&
	       path_ops_get(path_resolve(h->path, is_direct))->wants_pipe(in->size);
}
