/*
 * Owns the descriptors in the slots it is given. Open slots that may be evicted form a ring:
 *
 *	   hand -> oldest -> ... -> newest -> (hand)	pinned ones are passed over,
 *						referenced ones get a second chance
 *
 * A first eviction has to take the file handle, a system call, so it works in two steps with the
 * mutex released between them. The slot then points to a struct fd_eviction on the evictor's
 * stack: borrowers go on borrowing (then it stays open), and fdcache_drop() cuts the link and
 * leaves the closing to the evictor. So no thread ever waits for another's system call.
 */
#include "node/fdcache.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/lock.h"
#include "node/file_handle.h"

enum {
	RELIEF = 32, /* descriptors closed at once when the process has run out of them */
	TRIES_MAX = 64, /* in a row; without memory each would fail, and be tried for ever */
};

struct fdcache {
	/* immutable */
	int mount_fd; /* borrowed */
	size_t budget;
	size_t ring_min; /* what kept descriptors beyond the budget leave to the ring */
	bool has_handles;

	struct mutex lock; /* guards the rest */
	size_t n_open;
	size_t n_ring;
	size_t n_evicting; /* slots with an eviction under way */
	struct fd_slot *hand;
};

struct fd_eviction {
	struct fd_slot *slot; /* guarded by the cache's mutex; NULL: dropped meanwhile */
};

static void ring_insert_locked(struct fdcache *c, struct fd_slot *s) REQUIRES(c->lock)
{
	if (c->hand) {
		s->next = c->hand;
		s->prev = c->hand->prev;
		s->prev->next = s;
		s->next->prev = s;
	} else {
		s->next = s->prev = s;
		c->hand = s;
	}
	c->n_ring++;
}

static void ring_remove_locked(struct fdcache *c, struct fd_slot *s) REQUIRES(c->lock)
{
	if (!s->next)
		return;
	if (s->next == s) {
		c->hand = NULL;
	} else {
		s->prev->next = s->next;
		s->next->prev = s->prev;
		if (c->hand == s)
			c->hand = s->next;
	}
	s->next = s->prev = NULL;
	c->n_ring--;
}

static void slot_fill_locked(struct fdcache *c, struct fd_slot *s, int fd) REQUIRES(c->lock)
{
	s->fd = fd;
	c->n_open++;
	if (s->is_evictable && !s->keeps)
		ring_insert_locked(c, s);
}

/* Empties the slot; the descriptor is the caller's to close once the mutex is released. */
static int slot_take_locked(struct fdcache *c, struct fd_slot *s) REQUIRES(c->lock)
{
	ring_remove_locked(c, s);
	if (s->fd >= 0)
		c->n_open--;
	return take_fd(&s->fd);
}

static struct fd_slot *victim_locked(struct fdcache *c) REQUIRES(c->lock)
{
	for (size_t n_left = 2 * c->n_ring; n_left > 0; n_left--) {
		struct fd_slot *s = c->hand;
		c->hand = s->next;
		if (s->pins || s->eviction)
			continue;
		if (!s->is_referenced)
			return s;
		s->is_referenced = false;
	}
	return NULL;
}

static bool is_over_budget_locked(const struct fdcache *c) REQUIRES(c->lock)
{
	return c->n_open > c->budget + c->n_evicting && c->n_ring > c->ring_min;
}

/* The file has no handle, ever; other errors (ENOMEM, EIO) pass, and the slot is tried again. */
static bool is_handle_refused(int rc)
{
	return rc == -EOPNOTSUPP || rc == -EOVERFLOW || rc == -EPERM || rc == -EACCES || rc == -EINVAL;
}

/* The second half of a first eviction: fd was the descriptor of e->slot when it began. */
static size_t evict_with_handle(struct fdcache *c, struct fd_eviction *e, int fd)
{
	union file_handle_buf buf;
	int rc = file_handle_take(fd, &buf);
	struct file_handle AUTO_FREE *handle = rc ? NULL : file_handle_dup(&buf);
	int closed_fd = -1;

	mutex_lock(&c->lock);
	struct fd_slot *s = e->slot;
	if (s) {
		s->eviction = NULL;
		c->n_evicting--;
	}
	if (!s) {
		closed_fd = fd;
	} else if (is_handle_refused(rc)) {
		s->is_evictable = false;
		ring_remove_locked(c, s);
	} else if (handle) {
		s->handle = take_ptr(&handle);
		if (!s->pins && !s->keeps)
			closed_fd = slot_take_locked(c, s);
	}
	mutex_unlock(&c->lock);
	if (closed_fd < 0)
		return 0;
	close(closed_fd);
	return 1;
}

/*
 * Tries to close one descriptor, if_over_budget only while there are too many. *n_closed grows by
 * one if it did (a borrower may have come between). False if there is nothing to try.
 */
static bool evict_one(struct fdcache *c, bool if_over_budget, size_t *n_closed)
{
	struct fd_eviction e;

	mutex_lock(&c->lock);
	struct fd_slot *s = NULL;
	if (!if_over_budget || is_over_budget_locked(c))
		s = victim_locked(c);
	if (!s) {
		mutex_unlock(&c->lock);
		return false;
	}
	if (s->handle) {
		int fd = slot_take_locked(c, s);
		mutex_unlock(&c->lock);
		close(fd);
		*n_closed += 1;
		return true;
	}
	int fd = s->fd;
	e.slot = s;
	s->eviction = &e;
	c->n_evicting++;
	mutex_unlock(&c->lock);
	*n_closed += evict_with_handle(c, &e, fd);
	return true;
}

static void evict_to_budget(struct fdcache *c)
{
	size_t n_closed = 0;

	for (int n_tries = 0; n_tries < TRIES_MAX; n_tries++)
		if (!evict_one(c, true, &n_closed))
			return;
}

size_t fdcache_shrink(struct fdcache *c, size_t want)
{
	size_t n_closed = 0;

	for (size_t n_tries = 0; n_closed < want && n_tries < want + TRIES_MAX; n_tries++)
		if (!evict_one(c, false, &n_closed))
			break;
	return n_closed;
}

struct fdcache *fdcache_new(int mount_fd, size_t budget)
{
	struct fdcache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->mount_fd = mount_fd;
	c->budget = budget;
	c->ring_min = budget / 8;
	c->has_handles = file_handle_probe(mount_fd);
	mutex_init(&c->lock);
	return c;
}

void fdcache_free(struct fdcache *c)
{
	if (!c)
		return;
	assert(fdcache_open_count(c) == 0);
	mutex_fini(&c->lock);
	free(c);
}

void fdcache_adopt(struct fdcache *c, struct fd_slot *s, int fd, bool has_same_mount, bool is_kept)
{
	*s = (struct fd_slot){
		.fd = -1,
		.keeps = is_kept,
		.is_evictable = has_same_mount && c->has_handles,
	};
	mutex_lock(&c->lock);
	slot_fill_locked(c, s, fd);
	bool is_over = is_over_budget_locked(c);
	mutex_unlock(&c->lock);
	if (is_over)
		evict_to_budget(c);
}

int fdcache_offer(struct fdcache *c, struct fd_slot *s, int fd)
{
	mutex_lock(&c->lock);
	s->is_referenced = true;
	if (s->fd >= 0) {
		mutex_unlock(&c->lock);
		return fd;
	}
	slot_fill_locked(c, s, fd);
	struct file_handle *stale = take_ptr(&s->handle);
	bool is_over = is_over_budget_locked(c);
	mutex_unlock(&c->lock);
	free(stale);
	if (is_over)
		evict_to_budget(c);
	return -1;
}

/* fdcache_get() of a slot that it found closed and has pinned; buf: a copy of its handle. */
static int reopen_pinned(struct fdcache *c, struct fd_slot *s, union file_handle_buf *buf)
{
	int AUTO_FD opened = file_handle_open(c->mount_fd, buf);

	if ((opened == -EMFILE || opened == -ENFILE) && fdcache_shrink(c, RELIEF) > 0)
		opened = file_handle_open(c->mount_fd, buf);

	mutex_lock(&c->lock);
	/*
	 * Another thread may have been faster, or brought a new descriptor where the handle was
	 * stale.
	 */
	if (s->fd < 0 && opened >= 0)
		slot_fill_locked(c, s, take_fd(&opened));
	int fd = s->fd >= 0 ? s->fd : opened;
	if (fd < 0)
		s->pins--;
	bool is_over = is_over_budget_locked(c);
	mutex_unlock(&c->lock);
	if (is_over)
		evict_to_budget(c);
	return fd;
}

int fdcache_get(struct fdcache *c, struct fd_slot *s)
{
	union file_handle_buf buf;

	mutex_lock(&c->lock);
	s->pins++;
	s->is_referenced = true;
	int fd = s->fd;
	if (fd < 0)
		memcpy(&buf, s->handle, file_handle_size(s->handle));
	mutex_unlock(&c->lock);
	return fd >= 0 ? fd : reopen_pinned(c, s, &buf);
}

void fdcache_put(struct fdcache *c, struct fd_slot *s)
{
	mutex_lock(&c->lock);
	assert(s->pins > 0);
	s->pins--;
	/* Borrowed descriptors may have pushed the cache over its budget. */
	bool is_over = is_over_budget_locked(c);
	mutex_unlock(&c->lock);
	if (is_over)
		evict_to_budget(c);
}

int fdcache_keep(struct fdcache *c, struct fd_slot *s)
{
	int fd = fdcache_get(c, s);

	if (fd < 0)
		return fd;
	mutex_lock(&c->lock);
	s->pins--;
	s->keeps++;
	ring_remove_locked(c, s);
	mutex_unlock(&c->lock);
	return 0;
}

void fdcache_unkeep(struct fdcache *c, struct fd_slot *s)
{
	mutex_lock(&c->lock);
	if (s->keeps > 0 && --s->keeps == 0 && s->is_evictable)
		ring_insert_locked(c, s);
	bool is_over = is_over_budget_locked(c);
	mutex_unlock(&c->lock);
	if (is_over)
		evict_to_budget(c);
}

int fdcache_kept_fd(struct fdcache *c, const struct fd_slot *s)
{
	mutex_lock(&c->lock);
	int fd = s->keeps > 0 ? s->fd : -1;
	mutex_unlock(&c->lock);
	return fd;
}

void fdcache_drop(struct fdcache *c, struct fd_slot *s)
{
	mutex_lock(&c->lock);
	assert(s->pins == 0);
	int fd = slot_take_locked(c, s);
	bool is_evicting = s->eviction;
	if (is_evicting) {
		/* The evictor is using the descriptor right now; it closes it. */
		s->eviction->slot = NULL;
		s->eviction = NULL;
		c->n_evicting--;
	}
	struct file_handle *handle = take_ptr(&s->handle);
	s->keeps = 0;
	mutex_unlock(&c->lock);
	if (fd >= 0 && !is_evicting)
		close(fd);
	free(handle);
}

size_t fdcache_open_count(struct fdcache *c)
{
	mutex_lock(&c->lock);
	size_t n_open = c->n_open;
	mutex_unlock(&c->lock);
	return n_open;
}

bool fdcache_has_handles(const struct fdcache *c)
{
	return c->has_handles;
}
