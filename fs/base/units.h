/*
 * Sizes and times as people write them. Layer: base, pure functions, thread-safe.
 */
#ifndef ZCFS_BASE_UNITS_H
#define ZCFS_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/auto.h"

/*
 * Parses "4096", "512K", "1M", "2G", "1T" (binary units, case-insensitive, optional "iB" or "B")
 * into bytes. 0, or -EINVAL (not a size), or -ERANGE (over 2^63-1). *out is written on success
 * only.
 */
int units_parse_size(const char *s, uint64_t *out) MUST_CHECK;

/*
 * Parses a non-negative decimal number of seconds ("1", "0.5") into *out; -EINVAL or -ERANGE
 * (over 1e9).
 */
int units_parse_seconds(const char *s, double *out) MUST_CHECK;

/* Parses a non-negative decimal integer up to max; -EINVAL or -ERANGE. */
int units_parse_uint(const char *s, uint64_t max, uint64_t *out) MUST_CHECK;

/* Formats bytes for reading: "0 B", "512 B", "4.0 KiB", "1.5 MiB". Returns buf; len_bytes >= 16. */
char *units_format_size(uint64_t bytes, char *buf, size_t len_bytes);

/*
 * Formats nanoseconds for reading: "740 ns", "12.3 us", "4.56 ms", "1.20 s". Returns buf;
 * len_bytes >= 16.
 */
char *units_format_ns(uint64_t t_ns, char *buf, size_t len_bytes);

#endif
