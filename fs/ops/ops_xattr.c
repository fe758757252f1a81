/*
 * Extended attributes: user.zcfs.* are answered here (xattr_own.c) and never reach the backing; all
 * others are the backing file's, asked for through /proc/self/fd/N, since the calls take no O_PATH
 * descriptor. That path leads to the file itself, also where it is a symlink. Answers are made in
 * the worker's scratch memory.
 *
 * ENOSYS must not be answered: the kernel would never ask again. Any worker; no state of its own.
 */
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "ops/content_hash.h"
#include "ops/ops.h"
#include "ops/xattr_own.h"

#define ACL_PREFIX     "system.posix_acl_"
#define ACL_ACCESS     "system.posix_acl_access"
#define TRUSTED_PREFIX "trusted."

/* "/proc/self/fd/N" */
#define PROC_PATH_BYTES 32

static bool has_prefix(const char *name, const char *prefix)
{
	return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Borrows n's descriptor and names it in `path`. 0 or -errno; pair with node_fd_put(). */
static int proc_path_get(struct fs *fs, struct node *n, char path[PROC_PATH_BYTES])
{
	int fd = node_fd_get(fs->nodes, n);

	if (fd < 0)
		return fd;
	snprintf(path, PROC_PATH_BYTES, "/proc/self/fd/%d", fd);
	return 0;
}

static void reply_failed(fuse_req_t req, ssize_t err)
{
	ops_reply_err(req, err == -ENOSYS ? -EOPNOTSUPP : (int)err);
}

/* Answers getxattr or listxattr: the length if size is 0, else the value if it fits. */
static void reply_value(fuse_req_t req, size_t size, const char *value, ssize_t len)
{
	if (len < 0)
		reply_failed(req, len);
	else if (size == 0)
		fuse_reply_xattr(req, (size_t)len);
	else if ((size_t)len > size)
		ops_reply_err(req, -ERANGE);
	else
		fuse_reply_buf(req, value, (size_t)len);
}

/* The backing's value of `name` into buf; its length (alone, if size is 0) or -errno. */
static ssize_t backing_get(struct fs *fs, struct node *n, const char *name, void *buf, size_t size)
{
	char path[PROC_PATH_BYTES];
	int rc = proc_path_get(fs, n, path);

	if (rc)
		return rc;
	ssize_t len = getxattr(path, name, buf, size);
	if (len < 0)
		len = -errno;
	node_fd_put(fs->nodes, n);
	/*
	 * A backing without ACLs has no ACL. Told EOPNOTSUPP, the kernel, which asks for one
	 * whenever it checks a group's permission, would refuse the access with that error.
	 */
	if (len == -EOPNOTSUPP && has_prefix(name, ACL_PREFIX))
		len = -ENODATA;
	return len;
}

void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fs *fs = ops_fs(req);
	struct node *n = ops_node(fs, ino);

	if (xattr_own_is(name)) {
		char AUTO_FREE *text = NULL;
		ssize_t len = content_hash_is(name) ? content_hash_get(fs, n, size == 0, &text)
						    : xattr_own_get(fs, n, name, &text);
		reply_value(req, size, text, len);
		return;
	}
	struct worker *w = ops_worker();
	size_t room = size < w->scratch_bytes ? size : w->scratch_bytes;
	reply_value(req, size, (char *)w->scratch, backing_get(fs, n, name, w->scratch, room));
}

/*
 * Takes out of a list of names what `is_root` may not see and what would be mistaken for ours; its
 * new length.
 */
static size_t list_filter(char *names, size_t len, bool is_root)
{
	size_t kept = 0;

	for (size_t at = 0, bytes; at < len; at += bytes) {
		bytes = strnlen(names + at, len - at - 1) + 1;
		/*
		 * Any filesystem shows these to CAP_SYS_ADMIN only; the daemon has it, the caller
		 * may not.
		 */
		bool is_hidden = !is_root && has_prefix(names + at, TRUSTED_PREFIX);
		if (is_hidden || xattr_own_is(names + at))
			continue;
		memmove(names + kept, names + at, bytes);
		kept += bytes;
	}
	return kept;
}

void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct fs *fs = ops_fs(req);
	struct node *n = ops_node(fs, ino);
	struct worker *w = ops_worker();
	char *names = (char *)w->scratch;
	char path[PROC_PATH_BYTES];
	size_t own_bytes;
	const char *own = xattr_own_names(fs, n, &own_bytes);
	int rc = proc_path_get(fs, n, path);

	if (rc) {
		ops_reply_err(req, rc);
		return;
	}
	/* Asked for whole even if only the length is wanted, which depends on the names. */
	ssize_t len = listxattr(path, names, w->scratch_bytes - own_bytes);
	if (len < 0)
		len = -errno;
	node_fd_put(fs->nodes, n);
	if (len == -EOPNOTSUPP && own_bytes > 0)
		len = 0;
	if (len >= 0) {
		len = (ssize_t)list_filter(names, (size_t)len, fuse_req_ctx(req)->uid == 0);
		memcpy(names + len, own, own_bytes);
		len += (ssize_t)own_bytes;
	}
	reply_value(req, size, names, len);
}

/* Whether the caller is in the group, by all of the caller's groups, or is root. */
static bool is_in_group(fuse_req_t req, gid_t gid)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	gid_t groups[256];
	int count = (int)(sizeof(groups) / sizeof(groups[0]));

	if (ctx->uid == 0 || ctx->gid == gid)
		return true;
	int known = fuse_req_getgroups(req, count, groups);
	for (int i = 0; i < known && i < count; i++)
		if (groups[i] == gid)
			return true;
	return false;
}

/*
 * Setting an ACL changes the mode, and takes S_ISGID from a file whose group the caller is not in.
 * The kernel says which (FUSE_SETXATTR_ACL_KILL_SGID), but libfuse does not hand that on.
 */
static void prepare_set_acl(fuse_req_t req, struct node *n)
{
	struct fs *fs = ops_fs(req);
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct cred *cred = &ops_worker()->cred;
	struct statx stx;
	bool is_kept = node_statx(fs->nodes, n, &stx) || !(stx.stx_mode & S_ISGID) ||
		       is_in_group(req, stx.stx_gid);

	if (!is_kept)
		cred_become_nomask(cred, ctx->uid, ctx->gid); /* and so not in the file's group */
	cred_set_fsetid(cred, is_kept);
}

void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		  int flags)
{
	struct fs *fs = ops_fs(req);
	struct node *n = ops_node(fs, ino);
	char path[PROC_PATH_BYTES];

	if (xattr_own_is(name)) {
		uid_t uid = fuse_req_ctx(req)->uid;
		ops_reply_err(req, xattr_own_set(fs, n, uid, name, value, size, flags));
		return;
	}
	ops_serve_caller(req);
	if (strcmp(name, ACL_ACCESS) == 0)
		prepare_set_acl(req, n);
	int rc = proc_path_get(fs, n, path);
	if (!rc) {
		rc = setxattr(path, name, value, size, flags) < 0 ? -errno : 0;
		node_note_privs(n);
		node_fd_put(fs->nodes, n);
	}
	reply_failed(req, rc);
}

void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct fs *fs = ops_fs(req);
	struct node *n = ops_node(fs, ino);
	char path[PROC_PATH_BYTES];

	if (xattr_own_is(name)) {
		ops_reply_err(req, -EOPNOTSUPP);
		return;
	}
	ops_serve_caller(req);
	int rc = proc_path_get(fs, n, path);
	if (!rc) {
		rc = removexattr(path, name) < 0 ? -errno : 0;
		node_note_privs(n);
		node_fd_put(fs->nodes, n);
	}
	reply_failed(req, rc);
}
