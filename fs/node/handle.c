/*
 * Owns the backing descriptors of one open file. The first is opened through the node, the second
 * through the first (/proc/self/fd), so that it is the same file even if that has lost its name.
 * No locks: a descriptor goes from -1 to its number once, by compare-exchange, and stays until
 * handle_close().
 */
#include "node/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/*
 * What of the program's flags the backing descriptor gets; the kernel or the request sees to the
 * rest.
 */
static int backing_flags(int open_flags, bool is_direct)
{
	int kept = open_flags & (O_ACCMODE | O_SYNC | O_DSYNC | O_NOATIME | O_LARGEFILE);

	return kept | (is_direct ? O_DIRECT : 0);
}

static _Atomic int *slot_of(struct handle *h, bool is_direct)
{
	return is_direct ? &h->fd_direct : &h->fd_buffered;
}

struct handle *handle_adopt(struct node_table *nodes, struct node *node, int open_flags, int fd,
			    bool is_direct)
{
	struct handle *h = calloc(1, sizeof(*h));

	if (!h) {
		close(fd);
		return NULL;
	}
	h->node = node;
	h->nodes = nodes;
	h->open_flags = open_flags;
	atomic_init(&h->fd_buffered, -1);
	atomic_init(&h->fd_direct, -1);
	atomic_init(slot_of(h, is_direct), fd);
	atomic_init(&h->next_read_off, HANDLE_OFF_NONE);
	atomic_init(&h->next_write_off, HANDLE_OFF_NONE);
	return h;
}

int handle_open(struct node_table *nodes, struct node *node, int open_flags, bool is_direct_first,
		struct handle **out)
{
	/* Whoever has O_NONBLOCK does not wait for a lease to be given back (fcntl(2)); it is for the open only. */
	int flags = backing_flags(open_flags, is_direct_first) | (open_flags & (O_TRUNC | O_NONBLOCK));
	int fd = node_open(nodes, node, flags);

	if (fd < 0)
		return fd;
	if (open_flags & O_NONBLOCK)
		(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	*out = handle_adopt(nodes, node, open_flags, fd, is_direct_first);
	return *out ? 0 : -ENOMEM;
}

int handle_fd(struct handle *h, bool is_direct)
{
	_Atomic int *slot = slot_of(h, is_direct);
	int known = atomic_load_explicit(slot, memory_order_acquire);

	if (known >= 0)
		return known;
	int AUTO_FD fd =
		node_reopen(h->nodes, handle_any_fd(h), backing_flags(h->open_flags, is_direct));
	if (fd < 0)
		return fd;
	/*
	 * Pairs with the load above, and with the one in another thread that opened it at the
	 * same time.
	 */
	if (atomic_compare_exchange_strong_explicit(slot, &known, fd, memory_order_acq_rel,
						    memory_order_acquire))
		return take_fd(&fd);
	return known;
}

int handle_any_fd(const struct handle *h)
{
	int fd = atomic_load_explicit(&h->fd_buffered, memory_order_acquire);

	return fd >= 0 ? fd : atomic_load_explicit(&h->fd_direct, memory_order_acquire);
}

static int close_slot(_Atomic int *slot)
{
	int fd = atomic_load_explicit(slot, memory_order_acquire);

	return fd >= 0 && close(fd) < 0 ? -errno : 0;
}

int handle_close(struct handle *h)
{
	int rc = close_slot(&h->fd_buffered);
	int rc_direct = close_slot(&h->fd_direct);

	free(h);
	return rc ? rc : rc_direct;
}
