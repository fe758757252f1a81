/*
 * What is asked of a range of an open file (fallocate, lseek, copy_file_range), and the few ioctls
 * that are safe to hand on. All of it passes the daemon's memory by: the backing filesystem does
 * the work. The kernel itself drops the pages of its cache that a hole punched or a range copied
 * makes stale.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>

#include "data/pool_guard.h"
#include "node/handle.h"
#include "ops/ops.h"
#include "ops/ops_dir.h"

/*
 * With the caller's rights from here on. The kernel's request does not say whether the caller has CAP_FSETID; whoever is not root is taken
 * not to have it, so that the backing clears set-id bits of what they change.
 */
static void serve_writer(fuse_req_t req)
{
	ops_serve_caller(req);
	cred_set_fsetid(&ops_worker()->cred, fuse_req_ctx(req)->uid == 0);
}

/*
 * What of a file's bytes such a call may change: to the end where they move, and where the file grows from its end on.
 */
static int guard_fallocate(struct pool_guard *g, struct handle *h, int mode, off_t off, off_t len)
{
	struct stat st;
	uint64_t from = (uint64_t)off, to = (uint64_t)off + (uint64_t)len;

	g->file = NULL;
	if (off < 0 || len <= 0 || mode == FALLOC_FL_KEEP_SIZE || !node_pool_file(h->node))
		return 0;
	if (fstat(handle_any_fd(h), &st) < 0)
		from = 0;
	else if (from > (uint64_t)st.st_size)
		from = (uint64_t)st.st_size;
	bool is_moving = mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE);
	return pool_guard_begin(g, h->node, from, is_moving ? POOL_TO_END : to - from, false);
}

void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		   struct fuse_file_info *fi)
{
	struct handle *h = ops_handle(fi);
	struct pool_guard guard;
	int rc = guard_fallocate(&guard, h, mode, off, len);

	(void)ino;
	serve_writer(req);
	if (!rc) {
		rc = fallocate(handle_any_fd(h), mode, off, len) < 0 ? -errno : 0;
		bool has_grown = !rc && !(mode & (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE));
		pool_guard_end(&guard, handle_any_fd(h), has_grown ? (uint64_t)off + (uint64_t)len : 0);
	}
	ops_reply_err(req, rc);
}

/*
 * Only SEEK_DATA and SEEK_HOLE come here; the descriptor's own position, which this moves, nobody
 * uses.
 */
void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	struct handle *h = ops_handle(fi);
	/* Written to the pool is data, too. */
	int rc = pool_guard_read(h->node, 0, POOL_TO_END);
	off_t found = rc ? rc : lseek(handle_any_fd(h), off, whence);

	(void)ino;
	if (found < 0) {
		ops_reply_err(req, rc ? rc : -errno);
	} else {
		sync_answering();
		fuse_reply_lseek(req, found);
	}
}

/* Bytes or -errno. Short is fine: the caller asks again, or falls back where the backing cannot. */
static ssize_t copy_range(struct handle *in, off_t off_in, struct handle *out, off_t off_out,
			  size_t len, unsigned int flags)
{
	int in_fd = handle_fd(in, false);
	int out_fd = handle_fd(out, false);
	struct pool_guard guard;

	if (in_fd < 0 || out_fd < 0)
		return in_fd < 0 ? in_fd : out_fd;
	int rc = pool_guard_read(in->node, (uint64_t)off_in, len);
	if (!rc)
		rc = pool_guard_begin(&guard, out->node, (uint64_t)off_out, len, false);
	if (rc)
		return rc;
	ssize_t n = copy_file_range(in_fd, &off_in, out_fd, &off_out, len, flags);
	if (n < 0)
		n = -errno;
	/* The kernel has moved off_out on by what it copied. */
	pool_guard_end(&guard, out_fd, n > 0 ? (uint64_t)off_out : 0);
	return n;
}

void ops_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			 struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			 struct fuse_file_info *fi_out, size_t len, int flags)
{
	struct fs *fs = ops_fs(req);
	struct ledger *ledger = node_ledger(fs->nodes, ops_node(fs, ino_out));

	(void)ino_in;
	serve_writer(req);
	ssize_t copied = copy_range(ops_handle(fi_in), off_in, ops_handle(fi_out), off_out, len,
				    (unsigned int)flags);
	if (ledger) {
		counters_add(&ledger->counters, CTR_COPY_RANGE_OPS, 1);
		counters_add(&ledger->counters, CTR_COPY_RANGE_BYTES, copied > 0 ? (uint64_t)copied : 0);
	}
	if (copied < 0) {
		ops_reply_err(req, (int)copied);
	} else {
		sync_answering();
		fuse_reply_write(req, (size_t)copied);
	}
}

/*
 * The ioctls that are handed on: their arguments are plain values of known size. Sizes are what the
 * backing really reads and writes, which for the first two is less than their numbers say (int, not
 * long). The 32-bit programs' number of GETVERSION is another one; the kernel translates the rest.
 */
static const struct ioctl_row {
	unsigned int cmd; /* as it comes */
	unsigned int backing_cmd;
	size_t in_bytes;
	size_t out_bytes;
} ioctl_rows[] = {
	{FS_IOC_GETFLAGS, FS_IOC_GETFLAGS, 0, sizeof(int)},
	{FS_IOC_SETFLAGS, FS_IOC_SETFLAGS, sizeof(int), 0},
	{FS_IOC_FSGETXATTR, FS_IOC_FSGETXATTR, 0, sizeof(struct fsxattr)},
	{FS_IOC_FSSETXATTR, FS_IOC_FSSETXATTR, sizeof(struct fsxattr), 0},
	{FS_IOC_GETVERSION, FS_IOC_GETVERSION, 0, sizeof(int)},
	{FS_IOC32_GETVERSION, FS_IOC_GETVERSION, 0, sizeof(int)},
};

static const struct ioctl_row *ioctl_find(unsigned int cmd)
{
	for (size_t i = 0; i < sizeof(ioctl_rows) / sizeof(ioctl_rows[0]); i++)
		if (ioctl_rows[i].cmd == cmd)
			return &ioctl_rows[i];
	return NULL;
}

void ops_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi,
	       unsigned flags, const void *in_buf, size_t in_bufsz, size_t out_bufsz)
{
	struct node *n = ops_node(ops_fs(req), ino);
	const struct ioctl_row *row = ioctl_find(cmd);
	bool is_dir = flags & FUSE_IOCTL_DIR;
	/*
	 * What the call is given is at least a long: some filesystem might take the number at its
	 * word.
	 */
	union {
		struct fsxattr xattr;
		long word;
	} value;

	(void)arg;
	if (!row || flags & FUSE_IOCTL_UNRESTRICTED || n->type != (is_dir ? S_IFDIR : S_IFREG)) {
		ops_reply_err(req, -ENOTTY);
		return;
	}
	if (in_bufsz < row->in_bytes || out_bufsz < row->out_bytes) {
		ops_reply_err(req, -EINVAL);
		return;
	}
	memset(&value, 0, sizeof(value));
	if (row->in_bytes)
		memcpy(&value, in_buf, row->in_bytes);
	int fd = is_dir ? ops_dir_fd(fi) : handle_any_fd(ops_handle(fi));
	ops_serve_caller(req);
	/* What is dirty can be written before the file becomes immutable, and not after; then the next write of each open is refused. */
	bool is_change = row->in_bytes > 0 && !is_dir;
	int rc = is_change ? pool_guard_read(n, 0, POOL_TO_END) : 0;
	if (is_change)
		node_note_privs(n);
	if (rc < 0) {
		ops_reply_err(req, rc);
	} else if (ioctl(fd, row->backing_cmd, &value) < 0) {
		ops_reply_err(req, -errno);
	} else {
		sync_answering();
		fuse_reply_ioctl(req, 0, &value, row->out_bytes);
	}
}
