#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const char *log_component = "coracle";
static enum log_level log_lowest = LOG_INFO;

void log_start(const char *component, enum log_level lowest)
{
	log_component = component;
	log_lowest = lowest;
}

bool log_enabled(enum log_level level)
{
	return level >= log_lowest;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	if (!log_enabled(level))
		return;
	char line[4096];
	struct timespec ts;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	int n = snprintf(line, sizeof(line), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %c %s: ", tm.tm_year + 1900, tm.tm_mon + 1,
	                 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ts.tv_nsec / 1000000), "DIWE"[level], log_component);
	va_list ap;
	va_start(ap, fmt);
	int more = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	size_t len = MIN((size_t)n + (size_t)MAX(more, 0), sizeof(line) - 2);
	for (size_t i = (size_t)n; i < len; i++) // one event, one line; nothing a terminal would obey
		if ((unsigned char)line[i] < 0x20)
			line[i] = ' ';
	line[len++] = '\n';
	(void)!write(STDERR_FILENO, line, len); // one write: lines of several threads do not mix
}
