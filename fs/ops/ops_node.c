/*
 * Lookup, and what is asked of a file as a whole: attributes, a symlink's target, the
 * filesystem's sizes. Any worker; no state of its own. The kernel has checked permissions before
 * any of this is called (default_permissions), so a handler only carries out; it must not weaken
 * what the backing does by itself for the daemon's caller, which is: clearing set-id bits.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#include "data/pool_guard.h"
#include "data/pool_open.h"
#include "node/handle.h"
#include "node/mode.h"
#include "ops/ops.h"
#include "ops/rule.h"

#define STATX_WANTED (STATX_BASIC_STATS | STATX_BTIME)

/*
 * "." and ".." come from a kernel that has a file handle (open_by_handle_at(2), NFS): it knows an id, of a
 * node that may be long forgotten, and asks for the file, or for the directory above one it has got so.
 */
static int lookup_dot(struct fs *fs, fuse_ino_t ino, const char *name, struct node **out,
		      struct statx *stx)
{
	return name[1] == '.' ? node_parent(fs->nodes, ops_node(fs, ino), out, stx)
			      : node_revive(fs->nodes, ino, out, stx);
}

/*
 * The kernel may remember that there is no such name, for as long as it may show other changes
 * late.
 */
static void reply_no_entry(fuse_req_t req)
{
	const struct options *opt = &ops_fs(req)->opt;
	struct fuse_entry_param e = {.ino = 0};

	e.entry_timeout = opt->entry_timeout_s < opt->attr_timeout_s ? opt->entry_timeout_s
								     : opt->attr_timeout_s;
	if (e.entry_timeout > 0)
		fuse_reply_entry(req, &e);
	else
		ops_reply_err(req, -ENOENT);
}

void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = ops_fs(req);
	bool is_dot = name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
	struct node *dir = is_dot ? NULL : ops_node(fs, parent);
	struct node *n;
	struct statx stx;

	int rc = is_dot ? lookup_dot(fs, parent, name, &n, &stx)
			: node_lookup(fs->nodes, dir, name, &n, &stx);
	if (rc == -ENOENT) {
		reply_no_entry(req);
		return;
	}
	if (rc) {
		ops_reply_err(req, rc);
		return;
	}
	if (!is_dot)
		rule_learn(fs, dir, name, n);
	ops_reply_entry(req, n, &stx);
}

/*
 * A descriptor for the file's attributes: the open file's own where the request came through one,
 * since that is at hand, else the node's, borrowed. >= 0 or -errno; pair with attr_fd_put().
 */
static int attr_fd_get(struct fs *fs, struct node *n, const struct fuse_file_info *fi)
{
	if (fi && S_ISREG(n->type))
		return handle_any_fd(ops_handle(fi));
	return node_fd_get(fs->nodes, n);
}

static void attr_fd_put(struct fs *fs, struct node *n, const struct fuse_file_info *fi)
{
	if (!(fi && S_ISREG(n->type)))
		node_fd_put(fs->nodes, n);
}

/* flags: AT_STATX_* */
static int attr_statx(struct fs *fs, struct node *n, const struct fuse_file_info *fi, int flags,
		      struct statx *stx)
{
	int fd = attr_fd_get(fs, n, fi);

	if (fd < 0)
		return fd;
	(void)pool_guard_times(n);
	int rc = statx(fd, "", AT_EMPTY_PATH | flags, STATX_WANTED, stx) < 0 ? -errno : 0;
	attr_fd_put(fs, n, fi);
	return rc;
}

static void reply_attr(fuse_req_t req, struct node *n, const struct statx *stx)
{
	struct stat st;

	ops_stat_from_statx(ops_fs(req), stx, &st);
	mode_told(n, stx);
	sync_answering();
	fuse_reply_attr(req, &st, ops_attr_timeout(ops_fs(req), stx));
}

void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct statx stx;
	int rc = attr_statx(fs, ops_node(fs, ino), fi, 0, &stx);

	if (rc)
		ops_reply_err(req, rc);
	else
		reply_attr(req, ops_node(fs, ino), &stx);
}

/* mask is what the kernel lacks; it is given everything, for it caches what it gets. */
void ops_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct statx stx;
	int rc = attr_statx(fs, ops_node(fs, ino), fi, flags & AT_STATX_SYNC_TYPE, &stx);

	(void)mask;
	if (rc) {
		ops_reply_err(req, rc);
	} else {
		mode_told(ops_node(fs, ino), &stx);
		stx.stx_ino = ops_st_ino(fs, makedev(stx.stx_dev_major, stx.stx_dev_minor), stx.stx_ino);
		sync_answering();
		fuse_reply_statx(req, 0, &stx, ops_attr_timeout(fs, &stx));
	}
}

static int set_owner(int fd, const struct stat *attr, int to_set)
{
	uid_t uid = to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1;
	gid_t gid = to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1;

	return fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int set_mode(struct fs *fs, struct node *n, int fd, mode_t mode)
{
	char name[sizeof("-2147483648")];

	if (S_ISLNK(n->type))
		return -EOPNOTSUPP;
	/*
	 * fchmod() refuses an O_PATH descriptor; through /proc it is the same file whatever its
	 * names.
	 */
	snprintf(name, sizeof(name), "%d", fd);
	return fchmodat(node_proc_fd(fs->nodes), name, mode & ALLPERMS, 0) < 0 ? -errno : 0;
}

/* The pool's pages from the nearer end on; its file is made, for an open may bring pages in meanwhile. */
static int truncate_to(struct fs *fs, struct node *n, int fd, off_t size)
{
	struct pool_guard guard;
	struct stat st;

	(void)pool_open_file(fs->pool, fs->ledgers, fs->nodes, n);
	if (size < 0)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		st.st_size = 0;
	uint64_t from = (uint64_t)(size < st.st_size ? size : st.st_size);
	int rc = pool_guard_begin(&guard, n, from, POOL_TO_END, true);
	if (rc)
		return rc;
	rc = ftruncate(fd, size) < 0 ? -errno : 0;
	pool_guard_end(&guard, fd, 0);
	return rc;
}

static int set_size(struct fs *fs, struct node *n, int fd, off_t size, bool is_open)
{
	int AUTO_FD opened = -1;

	if (!is_open) {
		opened = node_open(fs->nodes, n, O_WRONLY);
		if (opened < 0)
			return opened;
		fd = opened;
	}
	return truncate_to(fs, n, fd, size);
}

static struct timespec wanted_time(struct timespec given, bool is_set, bool is_now)
{
	if (!is_set)
		given = (struct timespec){.tv_nsec = UTIME_OMIT};
	else if (is_now)
		given = (struct timespec){.tv_nsec = UTIME_NOW};
	return given;
}

static int set_times(int fd, const struct stat *attr, int to_set)
{
	const struct timespec times[2] = {
		wanted_time(attr->st_atim, to_set & FUSE_SET_ATTR_ATIME, to_set & FUSE_SET_ATTR_ATIME_NOW),
		wanted_time(attr->st_mtim, to_set & FUSE_SET_ATTR_MTIME, to_set & FUSE_SET_ATTR_MTIME_NOW),
	};

	return utimensat(fd, "", times, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

#define SET_OWNER  (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)
#define SET_TIMES  (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)
#define SET_EFFECT (SET_OWNER | SET_TIMES | FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_SIZE)

/*
 * Owner first, for the backing clears set-id bits at a chown and a mode that came with it is final;
 * times last, for a truncate sets them. Nothing to set at all is chown(-1, -1), or a write that
 * must clear set-id bits: either way the kernel wants the bits gone (FUSE_HANDLE_KILLPRIV_V2) and
 * has no other word for it.
 */
static int apply_attr(struct fs *fs, struct node *n, int fd, const struct stat *attr, int to_set,
		      bool is_open)
{
	struct cred *cred = &ops_worker()->cred;
	int rc = 0;

	cred_set_fsetid(cred, true);
	if (to_set & SET_OWNER || !(to_set & SET_EFFECT))
		rc = set_owner(fd, attr, to_set);
	if (!rc && to_set & FUSE_SET_ATTR_MODE)
		rc = set_mode(fs, n, fd, attr->st_mode);
	if (to_set & (SET_OWNER | FUSE_SET_ATTR_MODE))
		node_note_privs(n);
	if (!rc && to_set & FUSE_SET_ATTR_SIZE) {
		/* The protocol's FATTR_KILL_SUIDGID: the caller lacks CAP_FSETID. */
		cred_set_fsetid(cred, !(to_set & FUSE_SET_ATTR_KILL_SUID));
		rc = set_size(fs, n, fd, attr->st_size, is_open);
	}
	/* What the pool wrote afterwards would bring the time of that write. */
	if (!rc && to_set & SET_TIMES && S_ISREG(n->type))
		(void)pool_open_file(fs->pool, fs->ledgers, fs->nodes,
				     n); /* the pool may know a file that the kernel forgot */
	if (!rc && to_set & SET_TIMES)
		rc = pool_guard_read(n, 0, POOL_TO_END);
	if (!rc && to_set & SET_TIMES)
		rc = set_times(fd, attr, to_set);
	return rc;
}

/*
 * Nothing to set (apply_attr()), from who is neither root nor the owner: the kernel has checked no right to it. It need not be
 * done: a write of theirs clears the bits by itself.
 */
static bool is_anybodys_wish(fuse_req_t req, int fd, int to_set)
{
	uid_t uid = fuse_req_ctx(req)->uid;
	struct statx stx;

	return !(to_set & SET_EFFECT) && uid != 0 &&
	       statx(fd, "", AT_EMPTY_PATH, STATX_UID, &stx) == 0 && stx.stx_uid != uid;
}

void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct fs *fs = ops_fs(req);
	struct node *n = ops_node(fs, ino);
	struct statx stx;
	int fd = attr_fd_get(fs, n, fi);

	if (fd < 0) {
		ops_reply_err(req, fd);
		return;
	}
	ops_serve_caller(req);
	int rc = is_anybodys_wish(req, fd, to_set)
			 ? 0
			 : apply_attr(fs, n, fd, attr, to_set, fi && S_ISREG(n->type));
	(void)pool_guard_times(n);
	if (!rc && statx(fd, "", AT_EMPTY_PATH, STATX_WANTED, &stx) < 0)
		rc = -errno;
	attr_fd_put(fs, n, fi);
	if (rc)
		ops_reply_err(req, rc);
	else
		reply_attr(req, n, &stx);
}

void ops_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = ops_fs(req);
	struct node *n = ops_node(fs, ino);
	char target[PATH_MAX + 1];
	int fd = node_fd_get(fs->nodes, n);

	if (fd < 0) {
		ops_reply_err(req, fd);
		return;
	}
	ssize_t len = readlinkat(fd, "", target, PATH_MAX);
	int rc = len < 0 ? -errno : 0;
	node_fd_put(fs->nodes, n);
	if (rc) {
		ops_reply_err(req, rc);
		return;
	}
	target[len] = '\0';
	fuse_reply_readlink(req, target);
}

void ops_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = ops_fs(req);
	struct node *n = ino ? ops_node(fs, ino) : fs->root; /* 0: libfuse's "undefined" */
	struct statvfs st;
	int fd = node_fd_get(fs->nodes, n);

	if (fd < 0) {
		ops_reply_err(req, fd);
		return;
	}
	int rc = fstatvfs(fd, &st) < 0 ? -errno : 0;
	node_fd_put(fs->nodes, n);
	if (rc)
		ops_reply_err(req, rc);
	else
		fuse_reply_statfs(req, &st);
}
