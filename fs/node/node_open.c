/*
 * A node's descriptors: borrowed from the cache, or opened anew for real I/O. Owns nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "node/node_table.h"

enum { RELIEF = 32 }; /* descriptors closed at once when the process has run out of them */

int node_fd_statx(int fd, struct statx *stx)
{
	return statx(fd, "", AT_EMPTY_PATH, NODE_STATX_MASK, stx) < 0 ? -errno : 0;
}

bool node_table_relieve(struct node_table *t, int err)
{
	return (err == -EMFILE || err == -ENFILE) && fdcache_shrink(t->fds, RELIEF) > 0;
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

	if (opened < 0 && node_table_relieve(t, opened))
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
	int rc = node_fd_statx(fd, stx);
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
