/*
 * Decompression by libzstd and liblzma. A file may be several compressed ones in a row, as zstd(1) and xz(1) take them.
 */
#include "decode.h"

#include <errno.h>
#include <lzma.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

enum { RAW_BYTES = 128 * 1024, XZ_MEMORY = 1024 * 1024 * 1024 };

/* Takes bytes from d->raw, puts some at out. How many, or -errno with d->why. */
typedef ssize_t decode_step(struct decode *d, char *out, size_t len);

struct decode {
	int fd;
	decode_step *step; /* NULL until the first bytes are here */
	char raw[RAW_BYTES]; /* what was read and not yet taken: from raw_at, raw_len bytes */
	size_t raw_at, raw_len;
	bool is_at_end; /* of the file */
	bool is_mid_frame; /* the compressed file goes on */
	ZSTD_DStream *zstd;
	lzma_stream xz;
	char why[128];
};

int decode_new(int fd, struct decode **out)
{
	struct decode *d = calloc(1, sizeof(*d));
	*out = d;
	if (!d) {
		close(fd);
		return -ENOMEM;
	}
	d->fd = fd;
	d->xz = (lzma_stream)LZMA_STREAM_INIT;
	return 0;
}

void decode_free(struct decode *d)
{
	if (!d)
		return;
	close(d->fd);
	ZSTD_freeDStream(d->zstd);
	lzma_end(&d->xz);
	free(d);
}

const char *decode_why(const struct decode *d)
{
	return d->why;
}

static ssize_t fail(struct decode *d, int err, const char *why)
{
	snprintf(d->why, sizeof(d->why), "%s", why);
	return err;
}

/* Reads until raw holds at least `wanted` bytes or the file ends. 0 or -errno. */
static int fill(struct decode *d, size_t wanted)
{
	if (d->raw_len == 0)
		d->raw_at = 0;
	while (d->raw_len < wanted && !d->is_at_end) {
		size_t end = d->raw_at + d->raw_len;
		ssize_t n = read(d->fd, d->raw + end, sizeof(d->raw) - end);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return (int)fail(d, -errno, strerror(errno));
		d->is_at_end = n == 0;
		d->raw_len += (size_t)n;
	}
	return 0;
}

static void taken(struct decode *d, size_t n)
{
	d->raw_at += n;
	d->raw_len -= n;
}

static ssize_t plain_step(struct decode *d, char *out, size_t len)
{
	size_t n = d->raw_len < len ? d->raw_len : len;
	memcpy(out, d->raw + d->raw_at, n);
	taken(d, n);
	return (ssize_t)n;
}

static ssize_t zstd_step(struct decode *d, char *out, size_t len)
{
	ZSTD_inBuffer in = {d->raw + d->raw_at, d->raw_len, 0};
	ZSTD_outBuffer to = {out, len, 0};
	if (d->raw_len == 0 && !d->is_mid_frame)
		return 0;
	size_t left = ZSTD_decompressStream(d->zstd, &to, &in);
	taken(d, in.pos);
	if (ZSTD_isError(left)) {
		char why[96];
		snprintf(why, sizeof(why), "cannot be decompressed by zstd: %s", ZSTD_getErrorName(left));
		return fail(d, -EBADMSG, why);
	}
	d->is_mid_frame = left != 0;
	if (to.pos == 0 && d->is_at_end && d->raw_len == 0 && left != 0)
		return fail(d, -EBADMSG, "ends in the middle of what zstd compressed");
	return (ssize_t)to.pos;
}

static const char *xz_why(lzma_ret ret)
{
	if (ret == LZMA_BUF_ERROR)
		return "ends in the middle of what xz compressed";
	if (ret == LZMA_MEMLIMIT_ERROR)
		return "cannot be decompressed by xz: it would take more than 1 GiB of memory";
	if (ret == LZMA_FORMAT_ERROR)
		return "cannot be decompressed by xz: what follows is not xz";
	return "cannot be decompressed by xz: data is corrupt";
}

static ssize_t xz_step(struct decode *d, char *out, size_t len)
{
	d->xz.next_in = (const uint8_t *)d->raw + d->raw_at;
	d->xz.avail_in = d->raw_len;
	d->xz.next_out = (uint8_t *)out;
	d->xz.avail_out = len;
	lzma_ret ret = lzma_code(&d->xz, d->is_at_end ? LZMA_FINISH : LZMA_RUN);
	taken(d, d->raw_len - d->xz.avail_in);
	d->is_mid_frame = ret != LZMA_STREAM_END;
	if (ret == LZMA_MEM_ERROR)
		return fail(d, -ENOMEM, "out of memory");
	if (ret != LZMA_OK && ret != LZMA_STREAM_END)
		return fail(d, -EBADMSG, xz_why(ret));
	return (ssize_t)(len - d->xz.avail_out);
}

/* Looks at the first bytes. 0 or -errno. */
static int choose_step(struct decode *d)
{
	static const char zstd[] = "\x28\xb5\x2f\xfd",
			  xz[] = "\xfd"
				 "7zXZ",
			  gzip[] = "\x1f\x8b";
	int err = fill(d, sizeof(xz));
	if (err)
		return err;
	if (d->raw_len >= sizeof(zstd) - 1 && memcmp(d->raw, zstd, sizeof(zstd) - 1) == 0) {
		d->zstd = ZSTD_createDStream();
		d->step = zstd_step;
		return d->zstd ? 0 : (int)fail(d, -ENOMEM, "out of memory");
	}
	if (d->raw_len >= sizeof(xz) - 1 && memcmp(d->raw, xz, sizeof(xz) - 1) == 0) {
		d->step = xz_step;
		lzma_ret ret = lzma_stream_decoder(&d->xz, XZ_MEMORY, LZMA_CONCATENATED);
		return ret == LZMA_OK ? 0 : (int)fail(d, -ENOMEM, "out of memory");
	}
	if (d->raw_len >= sizeof(gzip) - 1 && memcmp(d->raw, gzip, sizeof(gzip) - 1) == 0)
		return (int)fail(d, -EBADMSG,
				 "is compressed by gzip: give it as 'zcat FILE | zcfs sim -'");
	d->step = plain_step;
	return 0;
}

ssize_t decode_read(struct decode *d, char *out, size_t len)
{
	if (!d->step) {
		int err = choose_step(d);
		if (err)
			return err;
	}
	for (;;) {
		int err = fill(d, 1);
		if (err)
			return err;
		ssize_t n = d->step(d, out, len);
		if (n != 0 || (d->is_at_end && d->raw_len == 0 && !d->is_mid_frame))
			return n;
	}
}
