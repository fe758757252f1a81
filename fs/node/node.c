/*
 * Owns the nodes: makes them from what a name or descriptor leads to, frees them when forgotten.
 *
 *	name --openat, statx--> (dev, ino, btime) --node_hash--> node --fdcache--> O_PATH descriptor
 *
 * All system calls come first, on descriptors that nobody else knows yet; the table (node_hash.c)
 * and the descriptors (fdcache.c) lock for themselves, for a few instructions each. Refuses
 * paths: a name is one component.
 */
#include "node/node.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "node/node_hash.h"

enum {
	RELIEF = 32, /* descriptors closed at once when the process has run out of them */
	STATX_MASK = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID,
};

struct node_table {
	struct node_hash hash;
	/* the rest is immutable after node_table_new() */
	struct fdcache *fds;
	struct ledger_table *ledgers; /* borrowed */
	struct node *root;
	int proc_fd;
	uint64_t mount_id; /* of the backing directory: STATX_MNT_ID, or its device */
};

static struct node_key key_of(const struct statx *stx)
{
	struct node_key key = {
		.dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.ino = stx->stx_ino,
		.type = stx->stx_mode & S_IFMT,
	};

	if (stx->stx_mask & STATX_BTIME)
		key.btime_ns = stx->stx_btime.tv_sec * 1000000000LL + stx->stx_btime.tv_nsec;
	return key;
}

/*
 * A handle opened through the backing directory lands on its mount: another one may be read-only.
 */
static uint64_t mount_id_of(const struct statx *stx)
{
	if (stx->stx_mask & STATX_MNT_ID)
		return stx->stx_mnt_id;
	return makedev(stx->stx_dev_major, stx->stx_dev_minor);
}

static int fd_statx(int fd, struct statx *stx)
{
	return statx(fd, "", AT_EMPTY_PATH, STATX_MASK, stx) < 0 ? -errno : 0;
}

/* err says that descriptors ran out, and some have been closed: worth another try. */
static bool table_relieve(struct node_table *t, int err)
{
	return (err == -EMFILE || err == -ENFILE) && fdcache_shrink(t->fds, RELIEF) > 0;
}

/* A node that nobody else can see yet, with one lookup count; fd is taken. NULL: out of memory. */
static struct node *node_new(struct node_table *t, int fd, const struct statx *stx)
{
	struct node_key key = key_of(stx);
	struct node *n = calloc(1, sizeof(*n));

	if (!n) {
		close(fd);
		return NULL;
	}
	n->dev = key.dev;
	n->ino = key.ino;
	n->btime_ns = key.btime_ns;
	n->type = key.type;
	n->nlookup = 1;
	atomic_init(&n->path_wanted, -1);
	atomic_init(&n->path_rule, -1);
	fdcache_adopt(t->fds, &n->fd, fd, mount_id_of(stx) == t->mount_id, stx->stx_nlink == 0);
	return n;
}

/* The node of the file that fd (O_PATH; taken) is open on, made if need be. */
static int node_intern(struct node_table *t, int fd, const struct statx *stx, struct node **out)
{
	struct node_key key = key_of(stx);
	struct node *n = node_hash_find(&t->hash, &key);

	if (n) {
		if (mount_id_of(stx) == t->mount_id)
			fd = fdcache_offer(t->fds, &n->fd, fd);
		if (fd >= 0)
			close(fd);
		*out = n;
		return 0;
	}
	struct node *fresh = node_new(t, fd, stx);
	if (!fresh)
		return -ENOMEM;
	*out = node_hash_insert(&t->hash, fresh);
	if (*out != fresh) {
		fdcache_drop(t->fds, &fresh->fd);
		free(fresh);
	}
	return 0;
}

static int name_check(const char *name)
{
	bool is_dots = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;

	if (name[0] == '\0' || is_dots || strchr(name, '/'))
		return -EINVAL;
	return strlen(name) > NAME_MAX ? -ENAMETOOLONG : 0;
}

static int open_child(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int node_lookup(struct node_table *t, struct node *parent, const char *name, struct node **out,
		struct statx *stx)
{
	int rc = name_check(name);

	if (rc)
		return rc;
	int dir_fd = node_fd_get(t, parent);
	if (dir_fd < 0)
		return dir_fd;
	int AUTO_FD fd = open_child(dir_fd, name);
	if (fd < 0 && table_relieve(t, fd))
		fd = open_child(dir_fd, name);
	node_fd_put(t, parent);
	if (fd < 0)
		return fd;
	rc = fd_statx(fd, stx);
	if (rc)
		return rc;
	return node_intern(t, take_fd(&fd), stx, out);
}

int node_from_fd(struct node_table *t, int fd, struct node **out, struct statx *stx)
{
	/* A plain dup() would keep the file open for writing as long as the node lives: ETXTBSY. */
	int AUTO_FD path_fd = node_reopen(t, fd, O_PATH);

	if (path_fd < 0)
		return path_fd;
	int rc = fd_statx(path_fd, stx);
	if (rc)
		return rc;
	return node_intern(t, take_fd(&path_fd), stx, out);
}

static bool is_deleted(struct node_table *t, struct node *n)
{
	struct statx stx;
	int fd = fdcache_kept_fd(t->fds, &n->fd);

	if (fd < 0)
		return n->is_stale;
	int rc = fd_statx(fd, &stx);
	return rc == -ESTALE || (rc == 0 && stx.stx_nlink == 0);
}

static struct ledger *attach_ledger(struct node_table *t, struct node *n, bool is_made)
{
	struct ledger *known = node_ledger_peek(n);

	if (known)
		return known;
	struct ledger_key key = {.dev = n->dev, .ino = n->ino, .btime_ns = n->btime_ns};
	struct ledger *l = is_made ? ledger_get(t->ledgers, &key) : ledger_find(t->ledgers, &key);
	if (!l)
		return NULL;
	/* Pairs with node_ledger_peek(): who sees the pointer sees the ledger behind it. */
	if (atomic_compare_exchange_strong_explicit(&n->ledger, &known, l, memory_order_acq_rel,
						    memory_order_acquire))
		return l;
	ledger_put(t->ledgers, l);
	return known;
}

struct ledger *node_ledger(struct node_table *t, struct node *n)
{
	return attach_ledger(t, n, true);
}

struct ledger *node_ledger_find(struct node_table *t, struct node *n)
{
	return attach_ledger(t, n, false);
}

/* Frees a node that nothing can find any more. */
static void node_free(struct node_table *t, struct node *n)
{
	bool is_gone = is_deleted(t, n);
	/* A deleted file's counts may still be with a ledger this node never used. */
	struct ledger *l = is_gone ? node_ledger_find(t, n) : node_ledger_peek(n);

	if (l && is_gone)
		ledger_delete(t->ledgers, l);
	if (l)
		ledger_put(t->ledgers, l);
	fdcache_drop(t->fds, &n->fd);
	free(n);
}

void node_forget(struct node_table *t, struct node *n, uint64_t nlookup)
{
	if (n != t->root && node_hash_release(&t->hash, n, nlookup))
		node_free(t, n);
}

int node_mark_unlinked(struct node_table *t, struct node *n)
{
	return fdcache_keep(t->fds, &n->fd);
}

void node_settle_unlinked(struct node_table *t, struct node *n)
{
	struct statx stx;
	int fd = fdcache_kept_fd(t->fds, &n->fd);

	if (fd >= 0 && fd_statx(fd, &stx) == 0 && stx.stx_nlink > 0)
		fdcache_unkeep(t->fds, &n->fd);
}

int node_fd_get(struct node_table *t, struct node *n)
{
	return fdcache_get(t->fds, &n->fd);
}

void node_fd_put(struct node_table *t, struct node *n)
{
	fdcache_put(t->fds, &n->fd);
}

static int proc_open(int proc_fd, int fd, int flags)
{
	char name[sizeof("-2147483648")];

	snprintf(name, sizeof(name), "%d", fd);
	int opened = openat(proc_fd, name, flags, 0);
	return opened < 0 ? -errno : opened;
}

int node_reopen(struct node_table *t, int fd, int flags)
{
	int wanted = (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_CLOEXEC | O_NOCTTY;
	int opened = proc_open(t->proc_fd, fd, wanted);

	if (opened < 0 && table_relieve(t, opened))
		opened = proc_open(t->proc_fd, fd, wanted);
	return opened;
}

int node_open(struct node_table *t, struct node *n, int flags)
{
	if (!(flags & O_PATH) && !S_ISREG(n->type) && !S_ISDIR(n->type))
		return S_ISLNK(n->type) ? -ELOOP : -ENXIO;
	int fd = node_fd_get(t, n);
	if (fd < 0)
		return fd;
	int opened = node_reopen(t, fd, flags);
	node_fd_put(t, n);
	return opened;
}

int node_proc_fd(const struct node_table *t)
{
	return t->proc_fd;
}

int node_statx(struct node_table *t, struct node *n, struct statx *stx)
{
	int fd = node_fd_get(t, n);

	if (fd < 0)
		return fd;
	int rc = fd_statx(fd, stx);
	node_fd_put(t, n);
	return rc;
}

void node_table_size(struct node_table *t, size_t *nodes, size_t *fds)
{
	*nodes = node_hash_size(&t->hash);
	*fds = fdcache_open_count(t->fds);
}

bool node_table_has_handles(const struct node_table *t)
{
	return fdcache_has_handles(t->fds);
}

size_t node_table_shrink(struct node_table *t, size_t want)
{
	return fdcache_shrink(t->fds, want);
}

/* Opens /proc/self/fd and makes the root node. 0 or -errno; the rest of t is set up. */
static int table_open(struct node_table *t, int root_fd)
{
	struct statx stx;

	t->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->proc_fd < 0)
		return -errno;
	int rc = fd_statx(root_fd, &stx);
	if (rc)
		return rc;
	t->mount_id = mount_id_of(&stx);
	return node_from_fd(t, root_fd, &t->root, &stx);
}

int node_table_new(int root_fd, struct ledger_table *ledgers, size_t fd_budget,
		   struct node_table **out, struct node **root)
{
	struct node_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	if (node_hash_init(&t->hash)) {
		free(t);
		return -ENOMEM;
	}
	t->ledgers = ledgers;
	t->proc_fd = -1;
	t->fds = fdcache_new(root_fd, fd_budget);
	int rc = t->fds ? table_open(t, root_fd) : -ENOMEM;
	if (rc == 0) /* every lookup starts here: never closed */
		rc = fdcache_keep(t->fds, &t->root->fd);
	if (rc) {
		node_table_free(t);
		return rc;
	}
	*root = t->root;
	*out = t;
	return 0;
}

void node_table_free(struct node_table *t)
{
	struct node *next;

	if (!t)
		return;
	for (struct node *n = node_hash_drain(&t->hash); n; n = next) {
		next = n->hash_next;
		node_free(t, n);
	}
	fdcache_free(t->fds);
	auto_close(&t->proc_fd);
	node_hash_fini(&t->hash);
	free(t);
}
