/*
 * base/units.c: what is a size, a count, a time; what is too large; how they read.
 */
#include "base/units.h"

#include "check.h"

#include <errno.h>

TEST(size_takes_binary_units)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} rows[] = {
		{"0", 0},
		{"4096", 4096},
		{"512B", 512},
		{"512b", 512},
		{"0T", 0},
		{"512K", 512 << 10},
		{"512k", 512 << 10},
		{"512KB", 512 << 10},
		{"512KiB", 512 << 10},
		{"512kib", 512 << 10},
		{"1M", 1 << 20},
		{"2G", 2ULL << 30},
		{"1T", 1ULL << 40},
		{"0009", 9},
		{"9223372036854775807", INT64_MAX},
		{"8388607T", 8388607ULL << 40},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t bytes = 1;
		if (units_parse_size(rows[i].text, &bytes) != 0)
			printf("# refused: %s\n", rows[i].text);
		CHECK_EQ(bytes, rows[i].bytes);
	}
}

TEST(size_refuses_the_rest)
{
	static const char *const bad[] = {"",
					  "K",
					  " 1",
					  "1 ",
					  "+1",
					  "-1",
					  "0x10",
					  "1.5M",
					  "1KK",
					  "1iB",
					  "1Ki",
					  "1e3",
					  "1BB",
					  "1P",
					  "ten",
					  "1,5",
					  "99999999999999999999x"};
	static const char *const large[] = {"9223372036854775808", "18446744073709551616",
					    "99999999999999999999999", "8388608T",
					    "9223372036854775807K"};
	uint64_t bytes = 42;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (units_parse_size(bad[i], &bytes) != -EINVAL)
			printf("# not refused: '%s'\n", bad[i]);
		CHECK_EQ(units_parse_size(bad[i], &bytes), -EINVAL);
	}
	for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++)
		CHECK_EQ(units_parse_size(large[i], &bytes), -ERANGE);
	CHECK_EQ(bytes, 42);
}

TEST(uint_keeps_to_its_limit)
{
	uint64_t n = 42;

	CHECK_EQ(units_parse_uint("257", 256, &n), -ERANGE);
	CHECK_EQ(units_parse_uint("9999999999999999999999", UINT64_MAX, &n), -ERANGE);
	CHECK_EQ(units_parse_uint("257x", 256, &n), -EINVAL);
	CHECK_EQ(units_parse_uint("", 256, &n), -EINVAL);
	CHECK_EQ(units_parse_uint("-1", 256, &n), -EINVAL);
	CHECK_EQ(n, 42);
	CHECK_EQ(units_parse_uint("256", 256, &n), 0);
	CHECK_EQ(n, 256);
	CHECK_EQ(units_parse_uint("0", 0, &n), 0);
	CHECK_EQ(n, 0);
	CHECK_EQ(units_parse_uint("18446744073709551615", UINT64_MAX, &n), 0);
	CHECK(n == UINT64_MAX);
}

TEST(seconds_are_decimal)
{
	double s = 42;

	CHECK_EQ(units_parse_seconds("1", &s), 0);
	CHECK(s == 1.0);
	CHECK_EQ(units_parse_seconds("0.5", &s), 0);
	CHECK(s == 0.5);
	CHECK_EQ(units_parse_seconds("0.1", &s), 0);
	CHECK(s == 0.1);
	CHECK_EQ(units_parse_seconds("0.0000000001", &s), 0);
	CHECK(s == 0.0);
	CHECK_EQ(units_parse_seconds("1000000000", &s), 0);
	CHECK(s == 1e9);
	CHECK_EQ(units_parse_seconds("1000000000.1", &s), -ERANGE);
	CHECK_EQ(units_parse_seconds("1000000001", &s), -ERANGE);
	static const char *const bad[] = {"",   ".",   ".5",  "1.",  "-1",
					  "1s", "1e3", "inf", "nan", "1,5"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK_EQ(units_parse_seconds(bad[i], &s), -EINVAL);
	CHECK(s == 1e9);
}

TEST(sizes_read_well)
{
	char buf[16];

	CHECK_STR(units_format_size(0, buf, sizeof(buf)), "0 B");
	CHECK_STR(units_format_size(512, buf, sizeof(buf)), "512 B");
	CHECK_STR(units_format_size(1023, buf, sizeof(buf)), "1023 B");
	CHECK_STR(units_format_size(4096, buf, sizeof(buf)), "4.0 KiB");
	CHECK_STR(units_format_size(1536 << 10, buf, sizeof(buf)), "1.5 MiB");
	CHECK_STR(units_format_size(1048575, buf, sizeof(buf)), "1.0 MiB");
	CHECK_STR(units_format_size(1023 << 10, buf, sizeof(buf)), "1023.0 KiB");
	CHECK_STR(units_format_size(UINT64_MAX, buf, sizeof(buf)), "16.0 EiB");
}

TEST(times_read_well)
{
	char buf[16];

	CHECK_STR(units_format_ns(0, buf, sizeof(buf)), "0 ns");
	CHECK_STR(units_format_ns(740, buf, sizeof(buf)), "740 ns");
	CHECK_STR(units_format_ns(12345, buf, sizeof(buf)), "12.3 us");
	CHECK_STR(units_format_ns(4560000, buf, sizeof(buf)), "4.56 ms");
	CHECK_STR(units_format_ns(1200000000, buf, sizeof(buf)), "1.20 s");
	CHECK_STR(units_format_ns(9996, buf, sizeof(buf)), "10.0 us");
	CHECK_STR(units_format_ns(99960, buf, sizeof(buf)), "100 us");
	CHECK_STR(units_format_ns(999600, buf, sizeof(buf)), "1.00 ms");
	CHECK_STR(units_format_ns(UINT64_MAX, buf, sizeof(buf)), "18446744074 s");
}
