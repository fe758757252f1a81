/*
 * Sizes and times to and from text. Pure functions, independent of the locale: '.' is the decimal
 * point whatever LC_NUMERIC says, and neither blanks, signs, hexadecimal nor exponents are taken,
 * which strtoull() and strtod() would.
 */
#include "base/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SECONDS_MAX 1000000000ULL
#define NS_PER_S    1000000000ULL

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * Takes the digits at *s and moves *s behind them. 0, -EINVAL (no digit there), or -ERANGE (over
 * max); in the latter case *s is moved as well, so that "not a number" can win over "too large".
 */
static int take_digits(const char **s, uint64_t max, uint64_t *out)
{
	uint64_t value = 0;
	bool is_over = false;

	if (!is_digit(**s))
		return -EINVAL;
	for (; is_digit(**s); (*s)++) {
		uint64_t digit = (uint64_t)(**s - '0');
		if (value > max / 10 || value * 10 > max - digit)
			is_over = true;
		else
			value = value * 10 + digit;
	}
	*out = value;
	return is_over ? -ERANGE : 0;
}

/*
 * The shift of a unit's letter ("K" 10, "M" 20, ...), with *s moved behind the unit; -1 if it is
 * none.
 */
static int take_unit(const char **s)
{
	static const char letters[] = "KMGT";
	const char *letter = **s ? strchr(letters, toupper((unsigned char)**s)) : NULL;

	if (!letter) {
		if (strcasecmp(*s, "B") == 0)
			(*s)++;
		return **s ? -1 : 0;
	}
	(*s)++;
	if (strcasecmp(*s, "iB") == 0 || strcasecmp(*s, "B") == 0)
		*s += strlen(*s);
	return **s ? -1 : 10 * (int)(letter - letters + 1);
}

int units_parse_size(const char *s, uint64_t *out)
{
	uint64_t count;
	int rc = take_digits(&s, INT64_MAX, &count);

	if (rc == -EINVAL)
		return rc;
	int shift = take_unit(&s);
	if (shift < 0)
		return -EINVAL;
	if (rc < 0 || count > (uint64_t)INT64_MAX >> shift)
		return -ERANGE;
	*out = count << shift;
	return 0;
}

int units_parse_uint(const char *s, uint64_t max, uint64_t *out)
{
	uint64_t value;
	int rc = take_digits(&s, max, &value);

	if (rc == -EINVAL || *s)
		return -EINVAL;
	if (rc == 0)
		*out = value;
	return rc;
}

int units_parse_seconds(const char *s, double *out)
{
	uint64_t whole_s, fraction_ns = 0;
	int rc = take_digits(&s, SECONDS_MAX, &whole_s);

	if (rc == -EINVAL)
		return rc;
	if (*s == '.') {
		uint64_t unit_ns = NS_PER_S / 10;
		if (!is_digit(*++s))
			return -EINVAL;
		for (; is_digit(*s); s++, unit_ns /= 10)
			fraction_ns += unit_ns * (uint64_t)(*s - '0');
	}
	if (*s)
		return -EINVAL;
	if (rc < 0 || (whole_s == SECONDS_MAX && fraction_ns > 0))
		return -ERANGE;
	/* One division of two whole numbers: "0.1" gives the double nearest to 0.1. */
	*out = (double)(whole_s * NS_PER_S + fraction_ns) / (double)NS_PER_S;
	return 0;
}

char *units_format_size(uint64_t bytes, char *buf, size_t len_bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	size_t last = sizeof(units) / sizeof(units[0]) - 1, u = 0;

	if (bytes < 1024) {
		snprintf(buf, len_bytes, "%" PRIu64 " B", bytes);
		return buf;
	}
	/* Move up already where %.1f would round to 1024.0. */
	double value = (double)bytes / 1024;
	for (; value >= 1023.95 && u < last; u++)
		value /= 1024;
	snprintf(buf, len_bytes, "%.1f %s", value, units[u]);
	return buf;
}

char *units_format_ns(uint64_t t_ns, char *buf, size_t len_bytes)
{
	static const char *const units[] = {"us", "ms", "s"};
	size_t last = sizeof(units) / sizeof(units[0]) - 1, u = 0;

	if (t_ns < 1000) {
		snprintf(buf, len_bytes, "%" PRIu64 " ns", t_ns);
		return buf;
	}
	double value = (double)t_ns / 1000;
	for (; value >= 999.5 && u < last; u++)
		value /= 1000;
	/* Three significant digits; the limits are where rounding would make a fourth. */
	int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
	snprintf(buf, len_bytes, "%.*f %s", decimals, value, units[u]);
	return buf;
}
