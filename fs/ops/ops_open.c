/*
 * Opening, closing and syncing files. What an open may be is node/mode.c's decision; here it is carried out and told to
 * the kernel.
 */
#include <fcntl.h>
#include <stddef.h>
#include <sys/stat.h>

#include "base/sync.h"
#include "data/account.h"
#include "data/pool_guard.h"
#include "data/pool_open.h"
#include "node/mode.h"
#include "ops/ops.h"
#include "ops/rule.h"

/* Flags of the program that openat() takes over when it makes a file; the rest is the kernel's or decided per request. */
#define CREATE_FLAGS (O_ACCMODE | O_EXCL | O_TRUNC | O_SYNC | O_DSYNC | O_NOATIME)

/* The backing is opened O_DIRECT at once: the program asked and gets it, or the path demands it. */
static bool is_direct_first(enum path_id path, int flags)
{
	return path == PATH_ID_direct || path == PATH_ID_pool ||
	       (path == PATH_ID_AUTO && flags & O_DIRECT);
}

static int close_handle(struct handle *h)
{
	pool_open_end(h);
	return handle_close(h);
}

static void close_left(struct open_link *link)
{
	(void)close_handle((struct handle *)(void *)((char *)link - offsetof(struct handle, link)));
}

/* An open by path pool gets what it needs of the pool, or takes another path. Whether the attributes are known then. */
static bool enter_pool(struct fs *fs, struct handle *h, struct open_mode *m, struct statx *stx)
{
	struct pool_file *f = node_pool_file(h->node);
	if (f)
		atomic_init(&h->errors_seen, pool_file_errors_seen(f));
	if (m->path == PATH_ID_pool) {
		int err = pool_open_begin(fs->pool, h, stx);
		if (err == 0)
			return true;
		bool has_direct = atomic_load_explicit(&h->fd_direct, memory_order_relaxed) >= 0;
		m->path = has_direct ? PATH_ID_direct : PATH_ID_splice;
		m->reason = err == -EINVAL ? MODE_NO_DIO : MODE_NO_POOL;
	}
	return statx(handle_any_fd(h), "", AT_EMPTY_PATH, STATX_BASIC_STATS, stx) == 0;
}

/* Books the open and tells the kernel how to treat it. */
static void finish(struct fs *fs, struct handle *h, struct open_mode *m, struct fuse_file_info *fi)
{
	struct statx stx;
	bool has_stx = enter_pool(fs, h, m, &stx);
	h->path = m->path;
	h->is_cached = m->is_cached;
	mode_opened(h->node, h, has_stx ? &stx : NULL, m);
	struct ledger *l = node_ledger(fs->nodes, h->node);
	if (l)
		counters_add(&l->counters,
			     h->open_flags & O_DIRECT ? CTR_OPEN_DIRECT : CTR_OPEN_BUFFERED, 1);
	opens_add(&fs->opens, &h->link, close_left);
	fi->fh = (uint64_t)(uintptr_t)h;
	fi->direct_io = !m->is_cached;
	fi->parallel_direct_writes = !m->is_cached;
	/* Without it the kernel does not write out mapped pages before a direct read: dropping them does that here. */
	fi->keep_cache = m->keep_cache && (m->is_cached || fs->has_direct_mmap);
	fi->noflush = !fs->is_flush_needed;
	sync_answering();
}

static void undo(struct fs *fs, struct handle *h)
{
	opens_remove(&fs->opens, &h->link);
	mode_closed(h->node, h);
	(void)close_handle(h); /* nothing was written through it */
}

/*
 * As mode_decide(), within what this kernel and this mount's pool offer. Every regular file that is opened becomes one of the
 * pool's, by whatever path: so all that changes it from now on is known to the pool.
 */
static struct open_mode decide(struct fs *fs, struct node *n, int flags)
{
	struct open_mode m = mode_decide(&fs->opt, n, flags);
	if (!pool_open_file(fs->pool, fs->ledgers, fs->nodes, n) && m.path == PATH_ID_pool) {
		m.path = PATH_ID_direct;
		m.reason = MODE_NO_POOL;
	}
	/* Without FUSE_DIRECT_IO_ALLOW_MMAP a program that did not ask for O_DIRECT could not map its file. */
	if (!m.is_cached && !fs->has_direct_mmap && !(flags & O_DIRECT) && fs->opt.cache == CACHE_KERNEL)
		m.is_cached = true;
	return m;
}

/*
 * err says that descriptors ran out, and some have been closed: worth another try. Files that are closed already keep theirs in the
 * pool while pages of theirs are dirty.
 */
static bool is_relieved(struct fs *fs, int err)
{
	if (err != -EMFILE && err != -ENFILE)
		return false;
	if (node_table_shrink(fs->nodes, 64) > 0)
		return true;
	return fs->pool && pool_is_write_back(fs->pool) && pool_flush(fs->pool) == 0;
}

static int open_by_mode(struct fs *fs, struct node *n, int flags, struct open_mode *m, struct handle **h)
{
	int err = handle_open(fs->nodes, n, flags, is_direct_first(m->path, flags), h);
	/* The program did not ask for O_DIRECT, so it must not suffer for the backing not having it. */
	bool is_imposed = (m->path == PATH_ID_direct || m->path == PATH_ID_pool) && !(flags & O_DIRECT);
	if (err == -EINVAL && is_imposed) {
		m->path = PATH_ID_splice;
		m->reason = MODE_NO_DIO;
		err = handle_open(fs->nodes, n, flags, false, h);
	}
	return err;
}

/* As open_by_mode(), with what an O_TRUNC means to the pool. */
static int open_guarded_once(struct fs *fs, struct node *n, int flags, struct open_mode *m,
			     struct handle **h)
{
	struct pool_guard guard;
	if (!(flags & O_TRUNC))
		return open_by_mode(fs, n, flags, m, h);
	int err = pool_guard_begin(&guard, n, 0, POOL_TO_END, true);
	if (err < 0)
		return err;
	err = open_by_mode(fs, n, flags, m, h);
	int fd = err == 0 ? handle_any_fd(*h) : node_fd_get(fs->nodes, n);
	pool_guard_end(&guard, fd, 0);
	if (err < 0 && fd >= 0)
		node_fd_put(fs->nodes, n);
	return err;
}

/* Relief writes pages of every file, so it comes when no range of any is held. */
static int open_guarded(struct fs *fs, struct node *n, int flags, struct open_mode *m, struct handle **h)
{
	int err = open_guarded_once(fs, n, flags, m, h);
	return is_relieved(fs, err) ? open_guarded_once(fs, n, flags, m, h) : err;
}

void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct node *n = ops_node(fs, ino);
	struct open_mode m = decide(fs, n, fi->flags);
	struct handle *h = NULL;
	if (fs->has_killpriv && fi->flags & O_TRUNC) {
		ops_serve_caller(req); /* whether S_ISGID goes with it depends on the caller's group */
		cred_set_fsetid(&ops_worker()->cred, !fi->kill_suidgid);
	}
	int err = open_guarded(fs, n, fi->flags, &m, &h);
	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	finish(fs, h, &m, fi);
	if (fuse_reply_open(req, fi) != 0)
		undo(fs, h);
}

/* Wraps the file just made and answers. fd is taken; name NULL: it has none. */
static void reply_created(fuse_req_t req, struct node *dir, const char *name, int made_fd,
			  struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	int AUTO_FD fd = made_fd;
	struct node *n = NULL;
	struct statx stx;
	struct fuse_entry_param e;
	int err = node_from_fd(fs->nodes, fd, &n, &stx);
	if (err < 0) {
		ops_reply_err(req, err);
		return;
	}
	if (name)
		rule_learn(fs, dir, name, n);
	struct open_mode m = decide(fs, n, fi->flags);
	bool is_direct = fcntl(fd, F_GETFL) & O_DIRECT;
	struct handle *h = handle_adopt(fs->nodes, n, fi->flags, take_fd(&fd), is_direct);
	if (!h) {
		node_forget(fs->nodes, n, 1);
		ops_reply_err(req, -ENOMEM);
		return;
	}
	finish(fs, h, &m, fi);
	ops_fill_entry(fs, n, &stx, &e);
	if (fuse_reply_create(req, &e, fi) != 0) {
		undo(fs, h);
		node_forget(fs->nodes, n, 1);
	}
}

static void create_at(fuse_req_t req, fuse_ino_t parent, const char *name, int extra_flags,
		      mode_t mode, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct node *dir = ops_node(fs, parent);
	int flags = (fi->flags & CREATE_FLAGS) | extra_flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
	if (is_direct_first(fs->opt.path, fi->flags) && fi->flags & O_DIRECT)
		flags |= O_DIRECT;
	int fd = node_fd_get(fs->nodes, dir);
	if (fd >= 0) {
		ops_become_caller(req);
		int made = openat(fd, name ? name : ".", flags, mode);
		int err = made < 0 ? -errno : 0;
		if (is_relieved(fs, err)) {
			made = openat(fd, name ? name : ".", flags, mode);
			err = made < 0 ? -errno : 0;
		}
		node_fd_put(fs->nodes, dir);
		fd = err < 0 ? err : made;
	}
	/*
	 * Always O_EXCL: the kernel asks to create what it believes is not there, and checks no permission on
	 * what is. ESTALE makes it look again and send an OPEN, which it does check.
	 */
	if (fd == -EEXIST && !(fi->flags & O_EXCL))
		fd = -ESTALE;
	if (fd < 0)
		ops_reply_err(req, fd);
	else
		reply_created(req, dir, name, fd, fi);
}

void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		struct fuse_file_info *fi)
{
	create_at(req, parent, name, O_CREAT | O_EXCL, mode, fi);
}

void ops_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	create_at(req, parent, NULL, O_TMPFILE, mode, fi);
}

void ops_release(struct fs *fs, uint64_t fh)
{
	struct handle *h = (struct handle *)(uintptr_t)fh;
	opens_remove(&fs->opens, &h->link);
	mode_closed(h->node, h);
	(void)close_handle(h); /* the kernel tells nobody of its result */
}

/*
 * close(2) of a program. Network filesystems have errors to tell then, by closing a duplicate, and so has the pool if it writes
 * back; otherwise ENOSYS tells the kernel never to ask again, which saves a round trip a close.
 */
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct handle *h = ops_handle(fi);
	(void)ino;
	if (!fs->is_flush_needed) {
		ops_reply_err(req, -ENOSYS);
		return;
	}
	int err = pool_open_error(h);
	if (err == 0 && fs->has_close_errors) {
		int fd = dup(handle_any_fd(h));
		err = fd < 0 || close(fd) < 0 ? -errno : 0;
	}
	ops_reply_err(req, err);
}

void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct handle *h = ops_handle(fi);
	uint64_t arrival_ticks = account_now();
	int fd = handle_any_fd(h);
	(void)ino;
	int err = pool_open_sync(h);
	/* Also after an error: what could be written is to be safe. */
	if ((datasync ? fdatasync(fd) : fsync(fd)) < 0 && err == 0)
		err = -errno;
	account_book_sync(node_ledger(fs->nodes, h->node), datasync, err, arrival_ticks);
	ops_reply_err(req, err);
}

int ops_syncfs(struct fs *fs)
{
	int err = fs->pool ? pool_flush(fs->pool) : 0;
	if (syncfs(fs->root_fd) < 0 && err == 0)
		err = -errno;
	return err;
}
