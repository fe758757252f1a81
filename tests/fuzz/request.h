/*
 * What the request target's files share: one function for each kind of request. Each takes from the input what a program may
 * choose, fills in what the kernel sees to (a node of the right type, an open file's handle, a name of one component), asks,
 * and checks of the answer what only this kind of request promises.
 */
#pragma once

#include "input.h"
#include "kernel.h"

#define NAME_BYTES 256 /* with the NUL */

/* One component, never "." or ".."; input.h's bytes or a name from a small set, so that names meet. */
void request_name(struct input *in, char name[NAME_BYTES]);
/* A node by the input. Never NULL for a directory or any type; for others it may be. */
struct known *request_node(struct kernel *k, struct input *in, mode_t type);
/* An open file or directory by the input, opened now if there is none; NULL where that fails. */
struct opened *request_open(struct kernel *k, struct input *in, mode_t type);

/* request_tree.c */
void request_lookup(struct kernel *k, struct input *in);
void request_make(struct kernel *k, struct input *in); /* MKNOD, MKDIR, SYMLINK, LINK */
void request_create(struct kernel *k, struct input *in); /* CREATE, TMPFILE */
void request_remove(struct kernel *k, struct input *in); /* UNLINK, RMDIR */
void request_rename(struct kernel *k, struct input *in);
void request_forget(struct kernel *k, struct input *in); /* FORGET, BATCH_FORGET */
void request_readdir(struct kernel *k, struct input *in); /* READDIR, READDIRPLUS */
/* request_file.c */
void request_read(struct kernel *k, struct input *in);
void request_write(struct kernel *k, struct input *in);
void request_sync(struct kernel *k, struct input *in); /* FLUSH, FSYNC, FSYNCDIR */
void request_range(struct kernel *k, struct input *in); /* FALLOCATE, LSEEK */
void request_copy(struct kernel *k, struct input *in); /* COPY_FILE_RANGE */
void request_ioctl(struct kernel *k, struct input *in);
/* request_attr.c */
void request_getattr(struct kernel *k, struct input *in); /* GETATTR, STATX */
void request_setattr(struct kernel *k, struct input *in);
void request_readlink(struct kernel *k, struct input *in);
void request_setxattr(struct kernel *k, struct input *in);
void request_getxattr(struct kernel *k, struct input *in); /* GETXATTR, LISTXATTR, REMOVEXATTR */
