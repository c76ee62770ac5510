#include "wire/utc.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FORM_LEN = 20, EPOCH = 1970, DAYS_BEFORE_EPOCH = 719162, DAY_S = 86400 };

void mesh__utc_format(int64_t ms, char *out)
{
	time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0));
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || strftime(out, MESH__UTC_TEXT, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
		(void)snprintf(out, MESH__UTC_TEXT, "out of range");
	}
}

/* The form has its digits there. */
static int number(const char *text, int n)
{
	int value = 0;

	for (int i = 0; i < n; i++) {
		value = value * 10 + (text[i] - '0');
	}
	return value;
}

static bool has_form(const char *text)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ";

	for (size_t i = 0; i < FORM_LEN; i++) {
		if (form[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != form[i]) {
			return false;
		}
	}
	return text[FORM_LEN] == '\0';
}

static bool is_leap(int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

bool mesh__utc_parse(const char *text, int64_t *ms)
{
	static const int days_of[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	int year, month, day, hour, minute, second;
	int64_t days;

	if (!has_form(text)) {
		return false;
	}
	year = number(text, 4);
	month = number(text + 5, 2);
	day = number(text + 8, 2);
	hour = number(text + 11, 2);
	minute = number(text + 14, 2);
	second = number(text + 17, 2);
	if (year < EPOCH || month < 1 || month > 12 || day < 1 || day > days_of[month - 1] + (month == 2 && is_leap(year)) || hour > 23 || minute > 59 || second > 59) {
		return false;
	}
	days = (int64_t)(year - 1) * 365 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 - DAYS_BEFORE_EPOCH + day - 1;
	for (int i = 1; i < month; i++) {
		days += days_of[i - 1] + (i == 2 && is_leap(year));
	}
	*ms = ((days * DAY_S) + hour * 3600 + minute * 60 + second) * 1000;
	return true;
}
