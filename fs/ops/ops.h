/*
 * The FUSE operations: the only users of libfuse's request API besides session and reply. Each handler replies exactly once.
 * Errors inside zcfs are -errno; only the reply_* helpers here turn them positive. Layer: ops.
 */
#ifndef ZCFS_OPS_OPS_H
#define ZCFS_OPS_OPS_H

#include <fuse_lowlevel.h>

#include "base/sync.h"
#include "data/worker.h"
#include "fs.h"

/* The table given to libfuse (ops_table.c). READ and WRITE are served by the session itself (ops_file.c). */
extern const struct fuse_lowlevel_ops ops_table;

/* The worker this thread is; valid inside a handler. */
struct worker *ops_worker(void);

/*
 * Whether nobody waits for the present request's answer any more: its program has been killed (ops/watch.h), or the mount ends.
 * Inside a handler that takes long; it answers all the same.
 */
bool ops_is_given_up(void);

static inline struct fs *ops_fs(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* The node of an id in a request: there is one, as the kernel holds a lookup count on it (but see ops_lookup()). */
static inline struct node *ops_node(struct fs *fs, fuse_ino_t ino)
{
	return node_by_id(fs->nodes, ino);
}

static inline struct handle *ops_handle(const struct fuse_file_info *fi)
{
	return fi ? (struct handle *)(uintptr_t)fi->fh : NULL;
}

/* Replies -err (0 is success without data). */
static inline void ops_reply_err(fuse_req_t req, int err)
{
	sync_answering(); /* the handle this was about may be released next */
	fuse_reply_err(req, -err);
}

/* How long the kernel may keep these attributes: attr_timeout, or 0 for set-id files, whose bits a write clears here. */
double ops_attr_timeout(const struct fs *fs, const struct statx *stx);

/*
 * The inode number to show: the backing's, or for what is mounted below it one that is made of both numbers, because the mount
 * has one device number only, and programs (tar, cp, find) take files with the same two numbers for one.
 */
uint64_t ops_st_ino(const struct fs *fs, uint64_t dev, uint64_t ino);

/* struct stat from statx. */
void ops_stat_from_statx(const struct fs *fs, const struct statx *stx, struct stat *st);

/* Fills an entry reply for a node that has just been looked up. */
void ops_fill_entry(struct fs *fs, struct node *n, const struct statx *stx, struct fuse_entry_param *e);

/* Replies with an entry and gives the lookup count back if the reply could not be delivered. */
void ops_reply_entry(fuse_req_t req, struct node *n, const struct statx *stx);

/* From now on this thread creates as the request's caller, with the caller's umask. */
void ops_become_caller(fuse_req_t req);

/* From now on this thread takes space as the request's caller may: quotas, the blocks kept for root. */
void ops_serve_caller(fuse_req_t req);

/* ops_node.c */
void ops_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		 struct fuse_file_info *fi);
void ops_readlink(fuse_req_t req, fuse_ino_t ino);
void ops_statfs(fuse_req_t req, fuse_ino_t ino);
void ops_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask, struct fuse_file_info *fi);
/* ops_dir.c */
void ops_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ops_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void ops_releasedir(struct fs *fs, uint64_t fh);
void ops_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
/* ops_tree.c */
void ops_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void ops_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void ops_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void ops_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname);
void ops_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void ops_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
		const char *newname, unsigned int flags);
/* ops_open.c */
void ops_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		struct fuse_file_info *fi);
void ops_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi);
void ops_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_release(struct fs *fs, uint64_t fh);
void ops_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void ops_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
int ops_syncfs(struct fs *fs); /* 0 or -errno */
/* ops_range.c */
void ops_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		   struct fuse_file_info *fi);
void ops_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void ops_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			 struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
			 struct fuse_file_info *fi_out, size_t len, int flags);
void ops_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg, struct fuse_file_info *fi,
	       unsigned flags, const void *in_buf, size_t in_bufsz, size_t out_bufsz);
/* ops_xattr.c */
void ops_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		  int flags);
void ops_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void ops_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void ops_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
