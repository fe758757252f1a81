/*
 * What O_DIRECT on a file demands, from statx STATX_DIOALIGN (Linux 6.1). Layer: node. One system call each: for the paths
 * that have to align on a program's behalf only.
 */
#ifndef ZCFS_NODE_DIO_H
#define ZCFS_NODE_DIO_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>

/* Good for every block device up to its logical block of 4 KiB; used where the kernel does not say. */
#define DIO_ALIGN_DEFAULT 4096U

/* Offset and length alignment in bytes, a power of two, 512 to 64K. */
static inline uint64_t dio_align_bytes(int fd)
{
	struct statx stx;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) < 0 || !(stx.stx_mask & STATX_DIOALIGN) ||
	    stx.stx_dio_offset_align < 512 || stx.stx_dio_offset_align > 65536)
		return DIO_ALIGN_DEFAULT;
	return stx.stx_dio_offset_align;
}

#endif
