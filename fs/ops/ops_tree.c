/*
 * Making, linking, moving and removing names. Each name is one component, resolved in its parent's
 * descriptor: never a path. What is made belongs to the caller (ops_become_caller). Between making
 * a name and looking it up another may take its place; then the kernel gets that one, as if it had
 * looked it up later.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "ops/ops.h"
#include "ops/rule.h"

/* Answers a request that made `name` in parent, or failed with rc. */
static void reply_made(fuse_req_t req, int rc, struct node *parent, const char *name)
{
	struct fs *fs = ops_fs(req);
	struct node *n;
	struct statx stx;

	if (!rc)
		rc = node_lookup(fs->nodes, parent, name, &n, &stx);
	if (rc) {
		ops_reply_err(req, rc);
		return;
	}
	rule_learn(fs, parent, name, n);
	ops_reply_entry(req, n, &stx);
}

/* The three kinds of making differ in one call. */
struct making {
	mode_t mode; /* its S_IFMT bits choose the call; 0 there is a regular file */
	dev_t rdev;
	const char *target; /* of a symlink */
};

static int make_at(int dir_fd, const char *name, const struct making *m)
{
	int rc;

	if (m->target)
		rc = symlinkat(m->target, dir_fd, name);
	else if (S_ISDIR(m->mode))
		rc = mkdirat(dir_fd, name, m->mode & ALLPERMS);
	else
		rc = mknodat(dir_fd, name, m->mode, m->rdev);
	return rc < 0 ? -errno : 0;
}

static void make(fuse_req_t req, fuse_ino_t parent, const char *name, const struct making *m)
{
	struct fs *fs = ops_fs(req);
	struct node *dir = ops_node(fs, parent);
	int rc = node_fd_get(fs->nodes, dir);

	if (rc >= 0) {
		ops_become_caller(req);
		rc = make_at(rc, name, m);
		node_fd_put(fs->nodes, dir);
	}
	reply_made(req, rc, dir, name);
}

void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	/* The kernel's 32-bit device number and glibc's dev_t agree for every number Linux has. */
	make(req, parent, name, &(struct making){.mode = mode, .rdev = rdev});
}

void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	make(req, parent, name, &(struct making){.mode = S_IFDIR | (mode & ALLPERMS)});
}

void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	make(req, parent, name, &(struct making){.mode = S_IFLNK, .target = target});
}

/* Gives n another name. The descriptor leads to the file itself, also where that is a symlink. */
static int link_node(struct fs *fs, struct node *n, int dir_fd, const char *name)
{
	char source[sizeof("-2147483648")];
	struct statx before;
	int fd = node_fd_get(fs->nodes, n);

	if (fd < 0)
		return fd;
	int rc = statx(fd, "", AT_EMPTY_PATH, STATX_NLINK, &before) < 0 ? -errno : 0;
	if (!rc) {
		snprintf(source, sizeof(source), "%d", fd);
		rc = linkat(node_proc_fd(fs->nodes), source, dir_fd, name, AT_SYMLINK_FOLLOW) < 0
			     ? -errno
			     : 0;
	}
	node_fd_put(fs->nodes, n);
	if (!rc && before.stx_nlink == 0)
		node_settle_unlinked(fs->nodes, n); /* an O_TMPFILE file, named now */
	return rc;
}

void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct fs *fs = ops_fs(req);
	struct node *dir = ops_node(fs, newparent);
	int rc = node_fd_get(fs->nodes, dir);

	ops_serve_caller(req);
	if (rc >= 0) {
		rc = link_node(fs, ops_node(fs, ino), rc, newname);
		node_fd_put(fs->nodes, dir);
	}
	reply_made(req, rc, dir, newname);
}

/*
 * The file that is about to lose `name`, marked so that its node keeps its descriptor and its
 * ledger ends with it; NULL if there is none, or if it cannot be marked: then the removal goes on,
 * and says itself what is wrong.
 */
static struct node *victim_get(struct fs *fs, struct node *parent, const char *name)
{
	struct node *n;
	struct statx stx;

	if (node_lookup(fs->nodes, parent, name, &n, &stx))
		return NULL;
	if (node_mark_unlinked(fs->nodes, n)) {
		node_forget(fs->nodes, n, 1);
		return NULL;
	}
	return n;
}

/* After the removal, successful or not. */
static void victim_put(struct fs *fs, struct node *n)
{
	if (!n)
		return;
	node_settle_unlinked(fs->nodes, n);
	node_forget(fs->nodes, n, 1);
}

/* flags: as unlinkat() */
static int remove_name(struct fs *fs, struct node *dir, const char *name, int flags)
{
	int dir_fd = node_fd_get(fs->nodes, dir);

	if (dir_fd < 0)
		return dir_fd;
	struct node *victim = victim_get(fs, dir, name);
	int rc = unlinkat(dir_fd, name, flags) < 0 ? -errno : 0;
	victim_put(fs, victim);
	node_fd_put(fs->nodes, dir);
	return rc;
}

void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = ops_fs(req);

	ops_reply_err(req, remove_name(fs, ops_node(fs, parent), name, 0));
}

void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = ops_fs(req);

	ops_reply_err(req, remove_name(fs, ops_node(fs, parent), name, AT_REMOVEDIR));
}

/* One end of a rename. */
struct place {
	struct node *dir;
	const char *name;
};

/* What is called so now falls under the rules for that name. */
static void place_learn(struct fs *fs, const struct place *p)
{
	struct node *n;
	struct statx stx;

	if (fs->opt.rules_count == 0 || node_lookup(fs->nodes, p->dir, p->name, &n, &stx))
		return;
	rule_learn(fs, p->dir, p->name, n);
	node_forget(fs->nodes, n, 1);
}

static int rename_at(struct fs *fs, const struct place *from, const struct place *to, unsigned int flags)
{
	int from_fd = node_fd_get(fs->nodes, from->dir);

	if (from_fd < 0)
		return from_fd;
	int to_fd = node_fd_get(fs->nodes, to->dir);
	if (to_fd < 0) {
		node_fd_put(fs->nodes, from->dir);
		return to_fd;
	}
	/* Only a plain rename replaces what stands there. */
	bool is_replacing = !(flags & (RENAME_EXCHANGE | RENAME_NOREPLACE));
	struct node *victim = is_replacing ? victim_get(fs, to->dir, to->name) : NULL;
	int rc = renameat2(from_fd, from->name, to_fd, to->name, flags) < 0 ? -errno : 0;
	victim_put(fs, victim);
	node_fd_put(fs->nodes, to->dir);
	node_fd_put(fs->nodes, from->dir);
	return rc;
}

void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		const char *newname, unsigned int flags)
{
	struct fs *fs = ops_fs(req);
	const struct place from = {ops_node(fs, parent), name};
	const struct place to = {ops_node(fs, newparent), newname};

	if (flags & RENAME_WHITEOUT)
		ops_become_caller(req); /* leaves a new device node behind */
	else
		ops_serve_caller(req);
	int rc = rename_at(fs, &from, &to, flags);
	if (!rc)
		place_learn(fs, &to);
	if (!rc && flags & RENAME_EXCHANGE)
		place_learn(fs, &from);
	ops_reply_err(req, rc);
}
