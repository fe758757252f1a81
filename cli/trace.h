/*
 * Traces of page references, read as a stream. The formats, told by the first line that is no comment:
 *
 *	12345                              page numbers, one a line
 *	START COUNT ...                    .lis of the ARC paper: COUNT pages from page START; the other numbers are not looked at
 *	# zcfs capture 1 page_size=16384   zcfs's own, followed by lines
 *	R|W FILEID OFFSET LENGTH           in bytes; FILEID is a number
 *
 * Empty lines and others that begin with # are passed over.
 */
#ifndef ZCFS_TRACE_H
#define ZCFS_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

struct trace_options {
	uint64_t page_bytes; /* of captures; 0: what the first of them says, which is then written here */
	int (*take)(void *ctx, const uint64_t *keys,
		    size_t count); /* gets the pages, as keys, in order; 0 or -ENOMEM */
	void *ctx;
};

/*
 * Reads the trace at path, "-" being standard input, and hands its pages on. Returns an exit status of cli.h; unless it is STATUS_OK
 * one line on stderr has said why, in the name of the command.
 */
int trace_read(const char *cmd, const char *path, struct trace_options *options) MUST_CHECK;

#endif
