/* SPDX-License-Identifier: MIT
 * retry.c - what is tried again, and how long that waits.
 * Not here: the clock, the chance and the waiting itself (call.c).
 * Thread: any, pure.   See: api.md 4.1 and 5.1, tests/unit/client/test_retry.c */
#include "client/client_priv.h"

#include <math.h>

#define WAIT_MAX_MS 8000

/* Limits that do not heal in seconds: arrears, used up for the day, the plan's own. */
static const char *const hopeless[] = {"1113", "1304", "1308", "1309",
                                       "1310", "1311", "1313", "insufficient_quota"};

bool glim_retry_status(int status, const char *code, glim_tristate should_retry)
{
    if (should_retry != GLIM_UNSET) return should_retry == GLIM_ON;
    for (size_t i = 0; i < GLIM_COUNT(hopeless); i++)
        if (strcmp(code, hopeless[i]) == 0) return false;
    return status == 408 || status == 409 || status == 429 || status >= 500;
}

int64_t glim_retry_wait(int64_t first_ms, int i, double random, int64_t after_ms)
{
    if (after_ms > 0) return after_ms;
    int64_t wait = i < 16 ? first_ms << i : WAIT_MAX_MS;
    wait = GLIM_MIN(wait, WAIT_MAX_MS);
    return (int64_t)((double)wait * (0.75 + 0.25 * random));
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March here, so that the leap day is the last. */
static int64_t days(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;
    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719469;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7); the two older forms are not read. */
static bool http_date(glim_str s, int64_t *unix_s)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const struct {
        size_t at, n;
    } part[] = {{5, 2}, {12, 4}, {17, 2}, {20, 2}, {23, 2}}; /* day, year, hour, minute, second */
    int64_t v[GLIM_COUNT(part)], month = 0;
    if (s.n != 29 || memcmp(s.p + 25, " GMT", 4) != 0 || s.p[19] != ':' || s.p[22] != ':')
        return false;
    for (size_t i = 0; i < GLIM_COUNT(part); i++) {
        v[i] = 0;
        for (size_t k = part[i].at; k < part[i].at + part[i].n; k++) {
            if (s.p[k] < '0' || s.p[k] > '9') return false;
            v[i] = v[i] * 10 + (s.p[k] - '0');
        }
    }
    for (int64_t m = 0; m < 12; m++)
        if (memcmp(months + 3 * m, s.p + 8, 3) == 0) month = m + 1;
    if (!month || v[0] < 1 || v[0] > 31 || v[1] < 1970 || v[2] > 23 || v[3] > 59 || v[4] > 60)
        return false;
    *unix_s = days(v[1], month, v[0]) * 86400 + v[2] * 3600 + v[3] * 60 + v[4];
    return true;
}

int64_t glim_retry_after(glim_str value, int64_t now_s)
{
    double seconds;
    int64_t date;
    value = glim_str_trim(value, " \t");
    if (glim_parse_f64(value, &seconds))
        return seconds >= 0 && seconds < 1e12 ? (int64_t)ceil(seconds * 1000) : -1;
    if (!http_date(value, &date)) return -1;
    return date > now_s ? (date - now_s) * 1000 : 0;
}
