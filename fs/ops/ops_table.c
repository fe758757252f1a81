/*
 * Which handler serves which request. READ and WRITE are missing on purpose: the session reads them
 * from /dev/fuse itself (session.c), so that payloads land aligned, or stay in a pipe; and what
 * gives back, FORGET, RELEASE and RELEASEDIR (ops_end.c), which must not want for memory. Locks are
 * missing because the kernel keeps them, and access because it checks permissions
 * (default_permissions); where poll is missing, libfuse tells the kernel once to use its default,
 * as for any file on a disk.
 */
#include "ops/ops.h"
#include "ops/session.h"

const struct fuse_lowlevel_ops ops_table = {
	.init = session_init,
	.lookup = ops_lookup,
	.getattr = ops_getattr,
	.setattr = ops_setattr,
	.statx = ops_statx,
	.readlink = ops_readlink,
	.statfs = ops_statfs,
	.mknod = ops_mknod,
	.mkdir = ops_mkdir,
	.symlink = ops_symlink,
	.link = ops_link,
	.unlink = ops_unlink,
	.rmdir = ops_rmdir,
	.rename = ops_rename,
	.create = ops_create,
	.tmpfile = ops_tmpfile,
	.open = ops_open,
	.flush = ops_flush,
	.fsync = ops_fsync,
	.opendir = ops_opendir,
	.readdir = ops_readdir,
	.readdirplus = ops_readdirplus,
	.fsyncdir = ops_fsyncdir,
	.fallocate = ops_fallocate,
	.lseek = ops_lseek,
	.copy_file_range = ops_copy_file_range,
	.ioctl = ops_ioctl,
	.setxattr = ops_setxattr,
	.getxattr = ops_getxattr,
	.listxattr = ops_listxattr,
	.removexattr = ops_removexattr,
};
