// Logs: one line per event on standard error: time, level, component, text. The supervisor adds nothing to it.
// The destination and the level belong to the process (the one thing here that is global, and write-only).
#ifndef CORACLE_BASE_LOG_H
#define CORACLE_BASE_LOG_H

#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

// Names the component in each line ("kubelet") and sets the lowest level that is written. Call once, from main.
void log_start(const char *component, enum log_level lowest);
bool log_enabled(enum log_level level);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) (log_enabled(LOG_DEBUG) ? log_line(LOG_DEBUG, __VA_ARGS__) : (void)0)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

#endif
