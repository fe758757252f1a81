/*
 * FORGET, RELEASE and RELEASEDIR, which the session hands over as the kernel sent them. Layer: ops. In a worker's thread.
 */
#ifndef ZCFS_OPS_OPS_END_H
#define ZCFS_OPS_OPS_END_H

#include "ops/ops_file.h"

/* Serves and, but for FORGET, answers it; false if it is none of these. */
bool ops_end_serve(const struct file_request *r, const struct fuse_in_header *in);

#endif
