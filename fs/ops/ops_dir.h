/*
 * An open directory, from OPENDIR to RELEASEDIR; fi->fh of such requests. Layer: ops.
 */
#ifndef ZCFS_OPS_OPS_DIR_H
#define ZCFS_OPS_OPS_DIR_H

#include <fuse_lowlevel.h>

/*
 * The directory's descriptor (O_RDONLY), borrowed until RELEASEDIR. Its position belongs to
 * readdir.
 */
int ops_dir_fd(const struct fuse_file_info *fi);

#endif
