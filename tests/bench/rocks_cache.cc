/*
 * rocks_cache PAGES: lookups in RocksDB's lock-free clock cache (HyperClockCache), by poolload.h's protocol, for comparison with the
 * buffer pool's. An entry counts LOAD_ENTRY_BYTES but has no bytes: a lookup reads none in either. tests/bench/pool compiles it
 * where librocksdb is (Debian: librocksdb-dev).
 */
#include <rocksdb/cache.h>
#include <rocksdb/slice.h>

#include <memory>

#include "poolload.h"

namespace
{

std::shared_ptr<rocksdb::Cache> cache;

/* The clock cache wants keys of 16 bytes. */
struct key {
	uint64_t file, page;
};

rocksdb::Slice slice_of(const key &k)
{
	return {reinterpret_cast<const char *>(&k), sizeof(k)};
}

void leave(const rocksdb::Slice & /*key*/, void * /*value*/)
{
}

bool fill(uint32_t pages)
{
	static char value;
	rocksdb::HyperClockCacheOptions options(static_cast<size_t>(pages) * LOAD_ENTRY_BYTES /
							100 * LOAD_ROOM_PERCENT,
						LOAD_ENTRY_BYTES);
	options.metadata_charge_policy = rocksdb::kDontChargeCacheMetadata;
	cache = options.MakeSharedCache();
	for (uint32_t i = 0; i < pages; i++) {
		const key k = {1, i};
		if (!cache->Insert(slice_of(k), &value, LOAD_ENTRY_BYTES, leave).ok())
			return false;
	}
	return true;
}

void *begin()
{
	static char state;
	return &state;
}

uint32_t lookup(void * /*thread*/, const uint32_t *page, uint32_t count)
{
	uint32_t hits = 0;
	for (uint32_t i = 0; i < count; i++) {
		const key k = {1, page[i]};
		rocksdb::Cache::Handle *handle = cache->Lookup(slice_of(k));
		if (!handle)
			continue;
		hits += cache->Value(handle) != nullptr;
		cache->Release(handle);
	}
	return hits;
}

void end(void * /*thread*/)
{
}

} // namespace

int main(int argc, char **argv)
{
	const load_cache load = {argc == 2 ? static_cast<uint32_t>(strtoul(argv[1], nullptr, 10)) : 0,
				 begin, lookup, end};
	if (load.pages == 0) {
		fprintf(stderr, "usage: rocks_cache PAGES\n");
		return 2;
	}
	if (!fill(load.pages)) {
		fprintf(stderr, "rocks_cache: the cache takes no page\n");
		return 1;
	}
	return load_serve(&load);
}
