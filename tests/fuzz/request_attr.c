/* Requests about attributes, plain and extended; see request.h. */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "request.h"

#define VALUE_MAX_BYTES 65536UL /* the kernel's limit of a value and a list */

/* As linux/fuse.h has them from 7.39 on. */
struct statx_in {
	uint32_t getattr_flags, reserved;
	uint64_t fh;
	uint32_t sx_flags, sx_mask;
};
#define STATX_OUT_BYTES 288

/* An open of the node, for a request that came through one; NULL: it came by name. */
static const struct opened *open_of(struct kernel *k, const struct known *n, bool is_wanted)
{
	for (size_t i = 0; is_wanted && S_ISREG(n->type) && i < KERNEL_OPENS; i++)
		if (k->opens[i].node == n)
			return &k->opens[i];
	return NULL;
}

void request_getattr(struct kernel *k, struct input *in)
{
	struct known *n = request_node(k, in, ANY_TYPE);
	unsigned which = input_u8(in);
	const struct opened *o = open_of(k, n, which & 1);

	if (which & 2) {
		const struct statx_in statx = {
			.getattr_flags = o ? FUSE_GETATTR_FH : 0,
			.fh = o ? o->fh : 0,
			.sx_flags = (uint32_t)input_bits(in, 2),
			.sx_mask = (uint32_t)input_bits(in, 2),
		};
		kernel_put_header(k, OPCODE_STATX, n);
		kernel_put(k, &statx, sizeof(statx));
		(void)kernel_ask_exact(k, STATX_OUT_BYTES);
		return;
	}
	const struct fuse_getattr_in getattr = {.getattr_flags = o ? FUSE_GETATTR_FH : 0,
						.fh = o ? o->fh : 0};
	kernel_put_header(k, FUSE_GETATTR, n);
	kernel_put(k, &getattr, sizeof(getattr));
	if (kernel_ask_exact(k, sizeof(struct fuse_attr_out)) < 0)
		return;
	const struct fuse_attr_out *out = (const void *)k->answer;
	REQUIRE((out->attr.mode & S_IFMT) == n->type, "a file changed its type to %o", out->attr.mode);
}

void request_setattr(struct kernel *k, struct input *in)
{
	struct known *n = request_node(k, in, ANY_TYPE);
	uint32_t valid = (uint32_t)input_bits(in, 2) & ~(uint32_t)FATTR_FH;
	const struct opened *o = open_of(k, n, valid & FATTR_LOCKOWNER);

	if (!S_ISREG(n->type)) /* truncate(2) of anything else is refused above */
		valid &= ~(uint32_t)FATTR_SIZE;
	/* In the members' order, which is the one clang takes the input in. */
	const struct fuse_setattr_in setattr = {
		.valid = valid | (o ? FATTR_FH : 0),
		.fh = o ? o->fh : 0,
		.size = input_number(in) & INT64_MAX,
		.atime = input_number(in),
		.mtime = input_number(in),
		.atimensec = (uint32_t)input_number(in),
		.mtimensec = (uint32_t)input_number(in),
		.mode = (uint32_t)input_bits(in, 2),
		.uid = (uint32_t)input_number(in),
		.gid = (uint32_t)input_number(in),
	};
	kernel_put_header(k, FUSE_SETATTR, n);
	kernel_put(k, &setattr, sizeof(setattr));
	if (kernel_ask_exact(k, sizeof(struct fuse_attr_out)) < 0)
		return;
	const struct fuse_attr_out *out = (const void *)k->answer;
	REQUIRE((out->attr.mode & S_IFMT) == n->type, "a file changed its type to %o", out->attr.mode);
	REQUIRE(!(valid & FATTR_SIZE) || out->attr.size == setattr.size, "a size of %llu",
		(unsigned long long)out->attr.size);
}

void request_readlink(struct kernel *k, struct input *in)
{
	struct known *n = request_node(k, in, S_IFLNK);

	if (!n)
		return;
	kernel_put_header(k, FUSE_READLINK, n);
	(void)kernel_ask(k, PATH_MAX - 1);
}

static void xattr_name(struct input *in, char name[NAME_BYTES])
{
	static const char *const names[] = {
		"user.zcfs.path",
		"user.zcfs.reset",
		"user.zcfs.stats",
		"user.zcfs.stats.json",
		"user.zcfs.io_mode",
		"user.zcfs.read.latency",
		"user.zcfs.",
		"user.x",
		"trusted.x",
		"security.capability",
		"system.posix_acl_access",
		"system.posix_acl_default",
	};
	unsigned which = input_u8(in);

	if (which < 192)
		(void)snprintf(name, NAME_BYTES, "%s",
			       names[which % (sizeof(names) / sizeof(names[0]))]);
	else if (input_text(in, name, NAME_BYTES) == 0)
		(void)snprintf(name, NAME_BYTES, "user.y");
}

/* A value of the input's bytes, or many; or an access control list that the backing takes. */
static size_t xattr_value(struct input *in, unsigned char *value)
{
	static const unsigned char acl[] = {2,   0,   0,   0,   1,   0,   6,  0,   255, 255, 255,
					    255, 2,   0,   6,   0,   232, 3,  0,   0,   4,   0,
					    4,   0,   255, 255, 255, 255, 16, 0,   6,   0,   255,
					    255, 255, 255, 32,  0,   4,   0,  255, 255, 255, 255};
	unsigned which = input_u8(in);

	if (which < 64) {
		memcpy(value, acl, sizeof(acl));
		return sizeof(acl);
	}
	if (which < 128) {
		uint64_t bytes = input_number(in);
		if (bytes > VALUE_MAX_BYTES)
			bytes = VALUE_MAX_BYTES;
		memset(value, (int)which, bytes);
		return bytes;
	}
	return input_text(in, (char *)value, NAME_BYTES);
}

void request_setxattr(struct kernel *k, struct input *in)
{
	static unsigned char value[VALUE_MAX_BYTES];
	struct known *n = request_node(k, in, ANY_TYPE);
	char name[NAME_BYTES];

	xattr_name(in, name);
	uint32_t flags = input_u8(in) & (XATTR_CREATE | XATTR_REPLACE);
	size_t bytes = xattr_value(in, value);
	const struct fuse_setxattr_in setxattr = {.size = (uint32_t)bytes, .flags = flags};
	kernel_put_header(k, FUSE_SETXATTR, n);
	kernel_put(k, &setxattr, k->has_setxattr_ext ? sizeof(setxattr) : FUSE_COMPAT_SETXATTR_IN_SIZE);
	kernel_put_text(k, name);
	kernel_put(k, value, bytes);
	REQUIRE(kernel_ask(k, 0) != -ENOSYS, "the kernel would never ask again");
}

/* A list of names, each ended by NUL. */
static void check_list(const struct kernel *k)
{
	REQUIRE(k->answer_bytes == 0 || k->answer[k->answer_bytes - 1] == '\0', "a name without its end");
	for (size_t at = 0; at < k->answer_bytes; at += strlen((const char *)k->answer + at) + 1)
		REQUIRE(k->answer[at], "an empty name");
}

void request_getxattr(struct kernel *k, struct input *in)
{
	struct known *n = request_node(k, in, ANY_TYPE);
	unsigned which = input_below(in, 4);
	uint64_t size = input_number(in);
	char name[NAME_BYTES];

	if (size > VALUE_MAX_BYTES)
		size = VALUE_MAX_BYTES;
	const struct fuse_getxattr_in getxattr = {.size = (uint32_t)size};
	size_t most = size ? size : sizeof(struct fuse_getxattr_out);
	xattr_name(in, name);
	if (which == 3) {
		kernel_put_header(k, FUSE_REMOVEXATTR, n);
		kernel_put_text(k, name);
		REQUIRE(kernel_ask(k, 0) != -ENOSYS, "the kernel would never ask again");
		return;
	}
	kernel_put_header(k, which == 2 ? FUSE_LISTXATTR : FUSE_GETXATTR, n);
	kernel_put(k, &getxattr, sizeof(getxattr));
	if (which < 2)
		kernel_put_text(k, name);
	int err = size ? kernel_ask(k, most) : kernel_ask_exact(k, most);
	REQUIRE(err != -ENOSYS, "the kernel would never ask again");
	if (which == 2 && size && err == 0)
		check_list(k);
}
