/*
 * A file's bytes for the buffer pool (struct pool_io), by descriptors of its own: they outlive the open that brought them, as
 * read-ahead and flushing do. Layer: data.
 */
#ifndef ZCFS_DATA_POOL_FDS_H
#define ZCFS_DATA_POOL_FDS_H

#include "base/auto.h"
#include "node/node.h"
#include "pool/pool.h"

/*
 * fd_direct: opened O_DIRECT, for reading and, if fd_buffered is not -1, for writing too; fd_buffered: of the same file, for
 * writing, without O_DIRECT. Neither with O_SYNC, O_DSYNC or O_APPEND. Both are taken, also on failure. nodes: borrowed for the io's
 * life. *out has one reference. 0 or -ENOMEM.
 */
int pool_fds_new(struct node_table *nodes, int fd_direct, int fd_buffered, struct pool_io **out) MUST_CHECK;

#endif
