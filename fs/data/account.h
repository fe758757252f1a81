/*
 * Booking: what one request did, added to its file's ledger, once. Holds the table of CPU copies a byte. Layer: data.
 */
#ifndef ZCFS_DATA_ACCOUNT_H
#define ZCFS_DATA_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "data/path.h"
#include "stats/ledger.h"

/* What account_book() needs beside the account itself. */
struct account_entry {
	const struct io_request *rq;
	const struct account *acc;
	bool is_write;
	unsigned syscalls;
	uint64_t t_arrival_ns; /* monotonic, by account_now_ns() */
	int64_t result; /* bytes moved, or -errno */
};

/* Adds one READ or WRITE to l (NULL: nothing). Any thread. */
void account_book(struct ledger *l, const struct account_entry *e);

/* A READ of n bytes was booked as spliced and then copied after all: both copies through the daemon's memory. */
void account_rebook_as_copy(struct ledger *l, uint64_t n);

/* Adds one fsync or fdatasync (err: 0 or -errno) that began at t_arrival_ns. */
void account_book_sync(struct ledger *l, bool is_datasync, int err, uint64_t t_arrival_ns);

/* CLOCK_MONOTONIC in nanoseconds; constant 0 where counting is compiled out. */
static inline uint64_t account_now_ns(void)
{
#if ZCFS_COUNTERS
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000U + (uint64_t)ts.tv_nsec;
#else
	return 0;
#endif
}

#endif
