/*
 * Reading directories. Offsets are the backing's own (d_off): valid however the directory changes.
 *
 *   backing --getdents64--> buf | given | pos -> not yet given ... | len    off: where pos stands
 *
 * An answer with less room than the buffer leaves the rest for the next request; one that goes on
 * elsewhere (seekdir, rewinddir) drops it. The handle's mutex serialises its cursor and is held
 * over getdents64() and readdirplus' lookups: it is no lock of the filesystem but of one open
 * directory, which the kernel reads by one request at a time anyway.
 */
#include "ops/ops_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "base/lock.h"
#include "data/account.h"
#include "ops/ops.h"
#include "ops/rule.h"

#define DIR_BUF_BYTES (32UL * 1024)
/* The largest answer: what the kernel asks for at most, as programs read by 32 KiB. */
#define REPLY_MAX_BYTES (64UL * 1024)
/* An entry with attributes takes at least 128 + 24 + 8 bytes: struct fuse_direntplus and a name. */
#define REPLY_MAX_NODES (REPLY_MAX_BYTES / 160)

/* Owned by fi->fh. */
struct dir {
	struct open_link link;
	int fd; /* immutable */
	struct node *node; /* borrowed: the kernel holds a lookup count while it is open */
	struct mutex lock; /* guards the rest */
	off_t off; /* of the entry at pos; where fd stands once the buffer is used up */
	size_t pos;
	size_t len;
	alignas(struct dirent64) char buf[DIR_BUF_BYTES];
};

/* An answer being filled, in the worker's scratch memory. */
struct listing {
	fuse_req_t req;
	struct fs *fs;
	char *buf;
	size_t size;
	size_t used;
	bool has_attrs; /* readdirplus */
	bool has_rules; /* dir_path is set: names are matched with the mount's rules */
	size_t nodes_count;
	struct node *nodes[REPLY_MAX_NODES]; /* looked up for this answer: one lookup count each */
	char dir_path[RULE_PATH_BYTES];
};

static struct dir *dir_of(const struct fuse_file_info *fi)
{
	return (struct dir *)(uintptr_t)fi->fh;
}

int ops_dir_fd(const struct fuse_file_info *fi)
{
	return dir_of(fi)->fd;
}

static void dir_free(struct dir *d)
{
	close(d->fd);
	mutex_fini(&d->lock);
	free(d);
}

static void close_left(struct open_link *link)
{
	dir_free((struct dir *)(void *)((char *)link - offsetof(struct dir, link)));
}

static int dir_new(struct fs *fs, struct node *n, struct dir **out)
{
	struct dir *d = malloc(sizeof(*d)); /* the buffer needs no zeros */

	if (!d)
		return -ENOMEM;
	int fd = node_open(fs->nodes, n, O_RDONLY | O_DIRECTORY);
	if (fd < 0) {
		free(d);
		return fd;
	}
	d->fd = fd;
	d->node = n;
	d->off = 0;
	d->pos = d->len = 0;
	mutex_init(&d->lock);
	*out = d;
	return 0;
}

void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct dir *d;
	int rc = dir_new(fs, ops_node(fs, ino), &d);

	if (rc) {
		ops_reply_err(req, rc);
		return;
	}
	fi->fh = (uint64_t)(uintptr_t)d;
	opens_add(&fs->opens, &d->link, close_left);
	sync_answering();
	if (fuse_reply_open(req, fi) != 0) { /* interrupted: no RELEASEDIR will come */
		opens_remove(&fs->opens, &d->link);
		dir_free(d);
	}
}

void ops_releasedir(struct fs *fs, uint64_t fh)
{
	struct dir *d = (struct dir *)(uintptr_t)fh;

	opens_remove(&fs->opens, &d->link);
	dir_free(d);
}

/* Makes `off` the next entry. 0 or -errno. */
static int dir_seek(struct dir *d, off_t off) REQUIRES(d->lock)
{
	if (off == d->off)
		return 0;
	d->pos = d->len = 0;
	if (lseek(d->fd, off, SEEK_SET) < 0) {
		int rc = -errno;
		d->off = -1; /* nobody asks for that: the next request seeks again */
		return rc;
	}
	d->off = off;
	return 0;
}

/* The next entry, not yet consumed, in *out: NULL at the end. 0 or -errno. */
static int dir_peek(struct dir *d, const struct dirent64 **out) REQUIRES(d->lock)
{
	if (d->pos == d->len) {
		long got = syscall(SYS_getdents64, d->fd, d->buf, sizeof(d->buf));
		if (got < 0)
			return -errno;
		d->pos = 0;
		d->len = (size_t)got;
	}
	*out = d->pos < d->len ? (const struct dirent64 *)(const void *)(d->buf + d->pos) : NULL;
	return 0;
}

static void dir_consume(struct dir *d, const struct dirent64 *entry) REQUIRES(d->lock)
{
	d->pos += entry->d_reclen;
	d->off = entry->d_off;
}

/* What is known of an entry without looking it up; ino 0 tells the kernel so. */
static struct fuse_entry_param entry_plain(const struct fs *fs, const struct node *dir,
					   const struct dirent64 *entry)
{
	struct fuse_entry_param e = {.ino = 0};

	e.attr.st_ino = ops_st_ino(fs, dir->dev, entry->d_ino);
	e.attr.st_mode = (mode_t)entry->d_type << 12; /* DT_x are the S_IFMT bits */
	return e;
}

static bool is_dot(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/*
 * Looks an entry up for readdirplus. false: it has vanished. Where the lookup fails otherwise the
 * name is listed all the same, and whoever asks for its attributes gets the error.
 */
static bool entry_lookup(struct listing *l, struct node *dir, const struct dirent64 *entry,
			 struct fuse_entry_param *e)
{
	struct node *n;
	struct statx stx;

	*e = entry_plain(l->fs, dir, entry);
	if (is_dot(entry->d_name))
		return true;
	int rc = node_lookup(l->fs->nodes, dir, entry->d_name, &n, &stx);
	if (rc)
		return rc != -ENOENT;
	if (l->has_rules && S_ISREG(n->type))
		rule_apply(l->fs, l->dir_path, entry->d_name, n);
	l->nodes[l->nodes_count++] = n;
	ops_fill_entry(l->fs, n, &stx, e);
	return true;
}

/* Adds an entry; false when the answer is full. */
static bool listing_add(struct listing *l, struct node *dir, const struct dirent64 *entry)
{
	char *at = l->buf + l->used;
	size_t room = l->size - l->used;
	struct fuse_entry_param e;

	if (!l->has_attrs) {
		e = entry_plain(l->fs, dir, entry);
		size_t need = fuse_add_direntry(l->req, at, room, entry->d_name, &e.attr, entry->d_off);
		l->used += need <= room ? need : 0;
		return need <= room;
	}
	/* Measured before the lookup, so that none has to be taken back. */
	if (fuse_add_direntry_plus(l->req, NULL, 0, entry->d_name, NULL, 0) > room ||
	    l->nodes_count == REPLY_MAX_NODES)
		return false;
	if (entry_lookup(l, dir, entry, &e))
		l->used += fuse_add_direntry_plus(l->req, at, room, entry->d_name, &e, entry->d_off);
	return true;
}

/* Fills l from `off` on. 0, or -errno if there is nothing to answer with. */
static int listing_fill(struct listing *l, struct dir *d, off_t off) REQUIRES(d->lock)
{
	const struct dirent64 *entry = NULL;
	int rc = dir_seek(d, off);

	while (!rc) {
		rc = dir_peek(d, &entry);
		if (rc || !entry || !listing_add(l, d->node, entry))
			break;
		dir_consume(d, entry);
	}
	return l->used > 0 ? 0 : rc; /* an error after entries is met again by the next request */
}

static void list(fuse_req_t req, size_t size, off_t off, struct dir *d, bool has_attrs)
{
	struct fs *fs = ops_fs(req);
	struct worker *w = ops_worker();
	struct listing l;

	l.req = req;
	l.fs = fs;
	l.buf = (char *)w->scratch;
	l.size = size < REPLY_MAX_BYTES ? size : REPLY_MAX_BYTES;
	if (l.size > w->scratch_bytes)
		l.size = w->scratch_bytes;
	l.used = 0;
	l.has_attrs = has_attrs;
	l.has_rules =
		has_attrs && fs->opt.rules_count > 0 && rule_dir_path(fs, d->node, l.dir_path) == 0;
	l.nodes_count = 0;

	mutex_lock(&d->lock);
	int rc = listing_fill(&l, d, off);
	mutex_unlock(&d->lock);
	sync_answering();
	if (rc)
		rc = fuse_reply_err(req, -rc);
	else
		rc = fuse_reply_buf(req, l.buf, l.used);
	for (size_t i = 0; rc && i < l.nodes_count; i++)
		node_forget(fs->nodes, l.nodes[i], 1);
}

void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	list(req, size, off, dir_of(fi), false);
}

void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)ino;
	list(req, size, off, dir_of(fi), true);
}

void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	int fd = dir_of(fi)->fd;
	uint64_t start_ticks = account_now();
	int rc = (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;

	/* before the reply: who has its answer finds itself counted */
	account_book_sync(node_ledger(fs->nodes, ops_node(fs, ino)), datasync, rc, start_ticks);
	ops_reply_err(req, rc);
}
