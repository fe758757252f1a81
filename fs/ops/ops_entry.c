/*
 * What the handlers share: attributes as libfuse wants them, entry replies, and creating as the
 * caller. Any worker; no state of its own.
 */
#include <sys/sysmacros.h>

#include "base/hash.h"
#include "base/sync.h"
#include "data/pool_guard.h"
#include "node/mode.h"
#include "ops/ops.h"

double ops_attr_timeout(const struct fs *fs, const struct statx *stx)
{
	bool is_setid = S_ISREG(stx->stx_mode) && (stx->stx_mode & (S_ISUID | S_ISGID));

	/* A write clears these bits underneath, and the kernel would go on showing them. */
	return is_setid ? 0 : fs->opt.attr_timeout_s;
}

static struct timespec timespec_from_statx(const struct statx_timestamp *ts)
{
	return (struct timespec){.tv_sec = ts->tv_sec, .tv_nsec = ts->tv_nsec};
}

uint64_t ops_st_ino(const struct fs *fs, uint64_t dev, uint64_t ino)
{
	return dev == fs->root->dev ? ino : hash_pair(dev, ino);
}

void ops_stat_from_statx(const struct fs *fs, const struct statx *stx, struct stat *st)
{
	*st = (struct stat){
		.st_dev = makedev(stx->stx_dev_major, stx->stx_dev_minor),
		.st_ino = ops_st_ino(fs, makedev(stx->stx_dev_major, stx->stx_dev_minor), stx->stx_ino),
		.st_mode = stx->stx_mode,
		.st_nlink = stx->stx_nlink,
		.st_uid = stx->stx_uid,
		.st_gid = stx->stx_gid,
		.st_rdev = makedev(stx->stx_rdev_major, stx->stx_rdev_minor),
		.st_size = (off_t)stx->stx_size,
		.st_blksize = stx->stx_blksize,
		.st_blocks = (blkcnt_t)stx->stx_blocks,
		.st_atim = timespec_from_statx(&stx->stx_atime),
		.st_mtim = timespec_from_statx(&stx->stx_mtime),
		.st_ctim = timespec_from_statx(&stx->stx_ctime),
	};
}

void ops_fill_entry(struct fs *fs, struct node *n, const struct statx *stx, struct fuse_entry_param *e)
{
	struct statx now;

	if (pool_guard_times(n) && node_statx(fs->nodes, n, &now) == 0)
		stx = &now;
	*e = (struct fuse_entry_param){
		.ino = n->id,
		.generation = n->generation,
		.attr_timeout = ops_attr_timeout(fs, stx),
		.entry_timeout = fs->opt.entry_timeout_s,
	};
	ops_stat_from_statx(fs, stx, &e->attr);
	mode_told(n, stx);
	sync_answering();
}

void ops_reply_entry(fuse_req_t req, struct node *n, const struct statx *stx)
{
	struct fs *fs = ops_fs(req); /* replying frees req */
	struct fuse_entry_param e;

	ops_fill_entry(fs, n, stx, &e);
	if (fuse_reply_entry(req, &e) != 0)
		node_forget(fs->nodes, n, 1);
}

void ops_serve_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	cred_serve(&ops_worker()->cred, ctx->uid, ctx->gid);
}

void ops_become_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct cred *cred = &ops_worker()->cred;

	cred_become(cred, ctx->uid, ctx->gid, ctx->umask);
	/* The kernel has already taken S_ISGID from modes the caller may not set: base/cred.h. */
	cred_set_fsetid(cred, true);
}
