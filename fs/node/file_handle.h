/*
 * File handles of the kernel: what name_to_handle_at(2) gives for a descriptor and
 * open_by_handle_at(2) opens again (CAP_DAC_READ_SEARCH). Layer: node; for fdcache.c and export.c. Blocks
 * on the backing filesystem.
 */
#ifndef ZCFS_NODE_FILE_HANDLE_H
#define ZCFS_NODE_FILE_HANDLE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"

/* Room for any handle, on the stack. */
union file_handle_buf {
	struct file_handle head;
	unsigned char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
};

static inline size_t file_handle_size(const struct file_handle *h)
{
	return sizeof(*h) + h->handle_bytes;
}

/* The handle of the file behind fd (O_PATH or not). 0 or -errno. */
MUST_CHECK static inline int file_handle_take(int fd, union file_handle_buf *buf)
{
	int mount_id;

	buf->head.handle_bytes = MAX_HANDLE_SZ;
	if (name_to_handle_at(fd, "", &buf->head, &mount_id, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* A copy on the heap, no longer than it needs to be, or NULL. */
MUST_CHECK static inline struct file_handle *file_handle_dup(const union file_handle_buf *buf)
{
	struct file_handle *copy = malloc(file_handle_size(&buf->head));

	if (copy)
		memcpy(copy, buf, file_handle_size(&buf->head));
	return copy;
}

/* An O_PATH descriptor of the handle's file on mount_fd's mount, the caller's; or -errno. */
MUST_CHECK static inline int file_handle_open(int mount_fd, union file_handle_buf *buf)
{
	int fd = open_by_handle_at(mount_fd, &buf->head, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Takes a handle of mount_fd's own file and opens it: both may be refused, or lead elsewhere. */
static inline bool file_handle_probe(int mount_fd)
{
	union file_handle_buf buf;
	struct stat want, got;

	if (file_handle_take(mount_fd, &buf))
		return false;
	int AUTO_FD fd = file_handle_open(mount_fd, &buf);
	if (fd < 0 || fstat(mount_fd, &want) < 0 || fstat(fd, &got) < 0)
		return false;
	return want.st_dev == got.st_dev && want.st_ino == got.st_ino;
}

#endif
