/*
 * Owns struct pool_open, and decides what descriptors the pool gets. Everything here is done at open, close or fsync; READ and WRITE
 * are path_pool.c's.
 */
#include "data/pool_open.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/xattr.h>

#include "data/pool_fds.h"
#include "node/mode.h"

struct pool_file *pool_open_file(struct pool *p, struct ledger_table *ledgers,
				 struct node_table *nodes, struct node *n)
{
	struct pool_file *f = node_pool_file(n);
	if (f || !p)
		return f;
	struct ledger *l = node_ledger(nodes, n);
	f = l ? pool_file_get(p, ledgers, l) : NULL;
	if (!f || node_adopt_pool_file(n, f))
		return f;
	pool_file_put(f);
	return node_pool_file(n);
}

/* 0 or -errno. */
static int check(struct pool_file *f, int fd, struct statx *stx)
{
	struct pool_check c;
	pool_file_check_begin(f, &c);
	/* An open descriptor's file can be asked for its attributes, unless its filesystem is gone. */
	int err = statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, stx) < 0 ? -errno : 0;
	if (err < 0)
		*stx = (struct statx){0};
	pool_file_check_end(f, &c, stx->stx_size, err < 0 ? 0 : mode_identity(stx), mode_changed_ns(stx));
	return err;
}

/* Nothing that a write takes away; asked of the backing, since it may have been given there. */
static bool is_without_privs(int fd, const struct statx *stx)
{
	return !(stx->stx_mode & (S_ISUID | S_ISGID)) &&
	       fgetxattr(fd, "security.capability", NULL, 0) < 0 &&
	       (errno == ENODATA || errno == EOPNOTSUPP);
}

/* Numbers are given out lowest first: this open's shows that few are left. */
static bool are_fds_scarce(struct handle *h)
{
	struct rlimit lim;
	return getrlimit(RLIMIT_NOFILE, &lim) == 0 && (rlim_t)handle_any_fd(h) > lim.rlim_cur / 4 * 3;
}

/* Descriptors to write with; none where the file may not be opened so. */
static int io_for_writing(struct handle *h, struct pool_io **io)
{
	int any_fd = handle_any_fd(h);
	int AUTO_FD direct = node_reopen(h->nodes, any_fd, O_RDWR | O_DIRECT);
	if (direct < 0)
		return direct;
	int AUTO_FD buffered = node_reopen(h->nodes, any_fd, O_RDWR);
	if (buffered < 0)
		return buffered;
	return pool_fds_new(h->nodes, take_fd(&direct), take_fd(&buffered), io);
}

static int io_for_reading(struct handle *h, int fd_direct, struct pool_io **io)
{
	int fd = fcntl(fd_direct, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 && node_table_shrink(h->nodes, 1) > 0)
		fd = fcntl(fd_direct, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : pool_fds_new(h->nodes, fd, -1, io);
}

/*
 * 0 or -errno. Writing needs none where writes go through anyway; nor does an open that may not read, which then has the pool take
 * nothing.
 */
static int give_io(struct pool *p, struct pool_file *f, struct handle *h, int fd_direct)
{
	int access = h->open_flags & O_ACCMODE;
	bool is_reader = access == O_RDONLY || access == O_RDWR;
	bool is_writer = access == O_WRONLY || access == O_RDWR;
	struct pool_io *io = NULL;
	int err = 0;
	bool is_needed = (is_reader && !pool_file_has_io(f, false)) ||
			 (is_writer && pool_is_write_back(p) && !pool_file_has_io(f, true));
	if (is_needed && are_fds_scarce(h))
		return -EMFILE;
	if (is_writer && pool_is_write_back(p) && !pool_file_has_io(f, true))
		(void)io_for_writing(h, &io);
	if (!io && is_reader && !pool_file_has_io(f, false))
		err = io_for_reading(h, fd_direct, &io);
	if (io)
		pool_file_set_io(f, io);
	return err;
}

int pool_open_begin(struct pool *p, struct handle *h, struct statx *stx)
{
	struct pool_file *f = node_pool_file(h->node);
	int fd = handle_fd(h, true);
	if (fd < 0)
		return fd;
	struct pool_open *o = calloc(1, sizeof(*o));
	if (!o)
		return -ENOMEM;
	h->pool = o;
	o->pool = p;
	o->file = f;
	uint32_t privs = pool_open_privs(h);
	pool_file_opened(f); /* before the io, which is kept while there are opens */
	int err = give_io(p, f, h, fd); /* first: the check asks it for the size while nobody changes it */
	if (err == 0)
		err = check(f, fd, stx);
	if (err < 0) {
		pool_open_end(h);
		return err;
	}
	if (pool_is_write_back(p) && is_without_privs(fd, stx)) {
		pool_open_privs_written(h, false, privs);
		pool_open_privs_written(h, true, privs);
	}
	return 0;
}

void pool_open_end(struct handle *h)
{
	struct pool_open *o = h->pool;
	if (!o)
		return;
	/* Descriptors stay with a closed file while pages of it are dirty. An error is kept for fsync, and is logged. */
	if (pool_is_write_back(o->pool) && are_fds_scarce(h))
		(void)!pool_file_flush(o->file);
	pool_file_closed(o->file);
	h->pool = NULL;
	free(o);
}

uint32_t pool_open_privs(struct handle *h)
{
	return atomic_load_explicit(&h->node->privs_changes, memory_order_seq_cst) + 1;
}

bool pool_open_is_privs_due(struct handle *h, bool is_kill)
{
	return atomic_load_explicit(&h->pool->privs_written[is_kill], memory_order_relaxed) !=
	       pool_open_privs(h);
}

void pool_open_privs_written(struct handle *h, bool is_kill, uint32_t privs)
{
	atomic_store_explicit(&h->pool->privs_written[is_kill], privs, memory_order_relaxed);
}

/* Requests at once of one open may both be told an error: each of them asked. */
int pool_open_sync(struct handle *h)
{
	struct pool_file *f = node_pool_file(h->node);
	if (!f)
		return 0;
	uint32_t seen = atomic_load_explicit(&h->errors_seen, memory_order_relaxed);
	int err = pool_file_sync(f, &seen);
	atomic_store_explicit(&h->errors_seen, seen, memory_order_relaxed);
	return err;
}

int pool_open_error(const struct handle *h)
{
	struct pool_file *f = node_pool_file(h->node);
	uint32_t seen = atomic_load_explicit(&h->errors_seen, memory_order_relaxed);
	return f ? pool_file_error(f, &seen) : 0;
}
