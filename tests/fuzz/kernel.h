/*
 * The kernel's side of a connection, as far as the daemon can tell: well-framed messages one after the other, about nodes it
 * holds lookup counts on and files it has open; and the kernel's judgement of every answer (fs/fuse/dev.c). Owns what the
 * kernel knows: nodes and opens. Not thread-safe.
 */
#pragma once

#include <linux/fuse.h>
#include <sys/types.h>

#include "daemon.h"

#define KERNEL_NODES 64
#define KERNEL_OPENS 16
#define ANY_TYPE     0 /* in the place of an S_IFMT type */

/* In newer headers than Debian 12's. */
#define OPCODE_STATX              52
#define OPCODE_COPY_FILE_RANGE_64 53

struct known {
	uint64_t nodeid;
	uint64_t generation;
	uint64_t lookups; /* 0: the place is free */
	mode_t type;
	unsigned opens; /* of these: the kernel does not forget it meanwhile */
};

struct opened {
	struct known *node; /* NULL: the place is free */
	uint64_t fh;
	uint32_t flags; /* of open(2) */
};

struct kernel {
	struct daemon daemon;
	struct known nodes[KERNEL_NODES]; /* the first is the root */
	struct opened opens[KERNEL_OPENS];
	uint64_t forgotten[8]; /* ids that file handles may still name, the last one at n_forgotten - 1 */
	unsigned n_forgotten;
	uint32_t uid, gid; /* who asks */
	uint64_t unique; /* of the last request */
	bool has_setxattr_ext; /* as agreed at INIT */
	unsigned char *message;
	size_t message_bytes;
	unsigned char *answer; /* what came behind the header */
	size_t answer_bytes;
};

/* Once: starts the daemon and agrees with it by INIT. */
void kernel_start(struct kernel *k);

/* A fresh mount, of which the root and all names in it are known. */
void kernel_begin(struct kernel *k, const struct daemon_setup *setup);

/* Gives everything back, and sees that the daemon has nothing left then; or, not is_polite, ends the mount under it all. */
void kernel_end(struct kernel *k, bool is_polite);

/* The next request: its header, then its parts. */
void kernel_put_header(struct kernel *k, uint32_t opcode, const struct known *node);
void kernel_put(struct kernel *k, const void *part, size_t part_bytes);
void kernel_put_text(struct kernel *k, const char *text); /* with its NUL */

/* Sends it and judges the answer, of most_bytes at most behind its header. 0 or the answer's -errno, and then no bytes. */
int kernel_ask(struct kernel *k, size_t most_bytes);
/* The same, where the bytes are `bytes` or there is an error. */
int kernel_ask_exact(struct kernel *k, size_t bytes);
/* Sends what has no answer. */
void kernel_tell(struct kernel *k);

/* An entry of an answer: one lookup count more. NULL: no entry, or the table was full and the count has been given back. */
struct known *kernel_learn(struct kernel *k, const struct fuse_entry_out *entry);
void kernel_forget(struct kernel *k, struct known *node, uint64_t lookups);

/* Books an answered open; it is released at once if there are too many. */
void kernel_opened(struct kernel *k, struct known *node, uint64_t fh, uint32_t flags);
void kernel_release(struct kernel *k, struct opened *open);

/* The first place from number `from` on, around the end, that has this type; NULL: none. */
struct known *kernel_node(struct kernel *k, unsigned from, mode_t type);
struct opened *kernel_open(struct kernel *k, unsigned from, mode_t type);
