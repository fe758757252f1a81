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

#include "node/node_table.h"

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

/* The node of an O_PATH descriptor, which is taken. */
static int node_of_path_fd(struct node_table *t, int path_fd, struct node **out, struct statx *stx)
{
	int AUTO_FD fd = path_fd;
	int rc = node_fd_statx(fd, stx);

	if (rc == 0 && t->is_one_mount && mount_id_of(stx) != t->mount_id)
		rc = -EXDEV;
	return rc ? rc : node_intern(t, take_fd(&fd), stx, out);
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
	if (fd < 0 && node_table_relieve(t, fd))
		fd = open_child(dir_fd, name);
	node_fd_put(t, parent);
	if (fd < 0)
		return fd;
	return node_of_path_fd(t, take_fd(&fd), out, stx);
}

int node_from_fd(struct node_table *t, int fd, struct node **out, struct statx *stx)
{
	/* A plain dup() would keep the file open for writing as long as the node lives: ETXTBSY. */
	int path_fd = node_reopen(t, fd, O_PATH);

	return path_fd < 0 ? path_fd : node_of_path_fd(t, path_fd, out, stx);
}

struct node *node_by_id(struct node_table *t, uint64_t id)
{
	if (id & NODE_ID_ADDRESS)
		return (struct node *)(uintptr_t)(id & ~NODE_ID_ADDRESS);
	return id == NODE_ID_ROOT ? t->root : node_hash_by_id(&t->hash, t->export.root_dev, id);
}

int node_revive(struct node_table *t, uint64_t id, struct node **out, struct statx *stx)
{
	int fd = -ESTALE;

	if (id == NODE_ID_ROOT)
		return node_from_fd(t, t->export.root_fd, out, stx);
	if (id && !(id & NODE_ID_ADDRESS)) /* an address says nothing once the node may be gone */
		fd = export_open(&t->export, id);
	if (fd < 0)
		return fd;
	int rc = node_of_path_fd(t, fd, out, stx);
	/* Without birth times nothing tells the file from an older one of that number. */
	if (rc == 0 && ((*out)->id != id || (*out)->btime_ns == 0)) {
		node_forget(t, *out, 1);
		rc = -ESTALE;
	}
	return rc;
}

int node_parent(struct node_table *t, struct node *dir, struct node **out, struct statx *stx)
{
	int fd = node_fd_get(t, dir);

	if (fd < 0)
		return fd;
	int up = S_ISDIR(dir->type) ? export_parent(&t->export, fd) : -ESTALE;
	node_fd_put(t, dir);
	return up < 0 ? up : node_of_path_fd(t, up, out, stx);
}

static bool is_deleted(struct node_table *t, struct node *n)
{
	struct statx stx;
	int fd = fdcache_kept_fd(t->fds, &n->fd);

	if (fd < 0)
		return n->is_stale;
	int rc = node_fd_statx(fd, &stx);
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

bool node_adopt_pool_file(struct node *n, struct pool_file *f)
{
	struct pool_file *known = NULL;

	/* Pairs with node_pool_file(): who sees the pointer sees the file behind it. */
	return atomic_compare_exchange_strong_explicit(&n->pool_file, &known, f,
						       memory_order_acq_rel, memory_order_acquire);
}

void node_table_on_pool_file(struct node_table *t, void (*end)(struct pool_file *f, bool is_deleted))
{
	t->end_pool_file = end;
}

static void end_pool_file(struct node_table *t, struct node *n, bool is_gone)
{
	struct pool_file *f = atomic_exchange_explicit(&n->pool_file, NULL, memory_order_acq_rel);

	if (f)
		t->end_pool_file(f, is_gone);
}

static void visit_pool_file(void *ctx, struct node *n)
{
	struct node_table *t = ctx;

	if (node_pool_file(n))
		end_pool_file(t, n, is_deleted(t, n));
}

void node_table_end_pool_files(struct node_table *t)
{
	node_hash_each(&t->hash, visit_pool_file, t);
}

/* Frees a node that nothing can find any more. */
static void node_free(struct node_table *t, struct node *n)
{
	bool is_gone = is_deleted(t, n);

	end_pool_file(t, n, is_gone);
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

	if (fd >= 0 && node_fd_statx(fd, &stx) == 0 && stx.stx_nlink > 0)
		fdcache_unkeep(t->fds, &n->fd);
}

/* Opens /proc/self/fd and makes the root node. 0 or -errno; the rest of t is set up. */
static int table_open(struct node_table *t, int root_fd)
{
	struct statx stx;

	t->proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (t->proc_fd < 0)
		return -errno;
	int rc = node_fd_statx(root_fd, &stx);
	if (rc)
		return rc;
	t->mount_id = mount_id_of(&stx);
	t->hash.id_dev = t->export.root_dev;
	rc = node_from_fd(t, root_fd, &t->root, &stx);
	if (rc == 0)
		t->root->id = NODE_ID_ROOT;
	return rc;
}

int node_table_new(int root_fd, struct ledger_table *ledgers, const struct node_limits *limits,
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
	t->is_one_mount = limits->is_one_mount;
	t->fds = fdcache_new(root_fd, limits->fd_budget);
	int rc = t->fds ? export_init(&t->export, root_fd, limits->is_export_any) : -ENOMEM;
	if (rc == 0)
		rc = table_open(t, root_fd);
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
