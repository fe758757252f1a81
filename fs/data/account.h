/*
 * Booking: what one request did, added to its file's ledger, once. Holds the table of CPU copies a byte. Layer: data.
 */
#ifndef ZCFS_DATA_ACCOUNT_H
#define ZCFS_DATA_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "data/path.h"
#include "stats/ledger.h"

/* What account_book() needs beside the account itself. */
struct account_entry {
	const struct io_request *rq;
	const struct account *acc;
	bool is_write;
	unsigned syscalls;
	uint64_t arrival_ticks; /* by account_now() */
	int64_t result; /* bytes moved, or -errno */
};

/* Adds one READ or WRITE to l (NULL: nothing). Any thread. */
void account_book(struct ledger *l, const struct account_entry *e);

/* A READ of n bytes was booked as spliced and then copied after all: both copies through the daemon's memory. */
void account_rebook_as_copy(struct ledger *l, uint64_t n);

/* Adds one fsync or fdatasync (err: 0 or -errno) that began at arrival_ticks. */
void account_book_sync(struct ledger *l, bool is_datasync, int err, uint64_t arrival_ticks);

/* Nanoseconds since account_now() returned `since`; 0 where counting is compiled out. */
static inline uint64_t account_elapsed_ns(uint64_t since)
{
	return ZCFS_COUNTERS ? clock_elapsed_ns(since) : 0;
}

/* Now, in clock_ticks(); constant 0 where counting is compiled out. */
static inline uint64_t account_now(void)
{
	return ZCFS_COUNTERS ? clock_ticks() : 0;
}

#endif
