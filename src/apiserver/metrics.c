// /metrics in the Prometheus text format: requests by verb, resource and code, their duration, what is stored, the process.
#include <pthread.h>
#include <stdio.h>

#include "apiserver/apiserver.h"
#include "apiserver/metrics.h"
#include "base/heap.h"
#include "base/io.h"

enum { VERBS = 9, CODES = 6, BUCKETS = 13 };
static const char *const verbs[VERBS] = { "GET", "LIST", "WATCH", "POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION", "OTHER" };
static const char *const codes[CODES] = { "1xx", "2xx", "3xx", "4xx", "5xx", "0" };
static const int64_t bounds_us[BUCKETS] = { 1000, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 15000000, 60000000 };

struct series { _Atomic uint64_t count[CODES], buckets[BUCKETS + 1], sum_us; };
struct metrics { struct series *v; size_t n; }; // [kind + 1][verb]

struct metrics *metrics_new(struct apiserver *s)
{
	struct metrics *m = HEAP_NEW(struct metrics);
	m->n = (s->nkinds + 1) * VERBS;
	m->v = heap_calloc(m->n, sizeof(struct series));
	return m;
}

void metrics_free(struct metrics *m)
{
	if (m)
		free(m->v);
	free(m);
}

static size_t verb_of(const struct call *c)
{
	static const char *const names[] = { "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection" };
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eqc(c->r.info.verb, names[i]))
			return i;
	return VERBS - 1;
}

void metrics_count(struct call *c)
{
	struct metrics *m = c->s->metrics;
	if (!m)
		return;
	size_t verb = verb_of(c);
	struct series *s = &m->v[(c->kind ? c->kind->index + 1 : 0) * VERBS + verb];
	int code = c->status / 100;
	atomic_fetch_add_explicit(&s->count[code >= 1 && code <= 5 ? code - 1 : 5], 1, memory_order_relaxed);
	if (verb == 2)
		return; // a watch lasts as long as it lasts
	int64_t us = (clock_mono(c->s->clock) - c->started) / 1000;
	size_t i = 0;
	while (i < BUCKETS && us > bounds_us[i])
		i++;
	atomic_fetch_add_explicit(&s->buckets[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->sum_us, (uint64_t)us, memory_order_relaxed);
}

static void process(struct apiserver *s, struct buf *to)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err;
	str stat, fds = { 0 };
	(void)fds;
	if (io_read_file(a, "/proc/self/stat", 4096, &stat, &err)) {
		ptrdiff_t close = str_rfind_char(stat, ')');
		unsigned long long utime = 0, stime = 0, vsize = 0;
		long long rss = 0;
		long tick = sysconf(_SC_CLK_TCK);
		if (close > 0 && sscanf(stat.p + close + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %*u %llu %lld", &utime, &stime, &vsize, &rss) == 4)
			buf_printf(to, "# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total %.2f\n# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes %lld\n"
			               "# TYPE process_virtual_memory_bytes gauge\nprocess_virtual_memory_bytes %llu\n",
			           (double)(utime + stime) / (double)tick, rss * sysconf(_SC_PAGESIZE), vsize);
	}
	buf_printf(to, "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %.2f\n", (double)s->started_ns / 1e9);
}

void metrics_text(struct apiserver *s, struct buf *to)
{
	struct metrics *m = s->metrics;
	buf_add(to, S("# HELP apiserver_request_total Requests by verb, resource and code.\n# TYPE apiserver_request_total counter\n"));
	for (size_t i = 0; i < m->n; i++) {
		struct kind *k = i / VERBS ? &s->kinds[i / VERBS - 1] : NULL;
		for (size_t code = 0; code < CODES; code++) {
			uint64_t n = atomic_load_explicit(&m->v[i].count[code], memory_order_relaxed);
			if (n)
				buf_printf(to, "apiserver_request_total{code=\"%s\",group=\"" STR_FMT "\",resource=\"" STR_FMT "\",verb=\"%s\",version=\"" STR_FMT "\"} %llu\n", codes[code],
				           STR_ARG(k ? k->group : S("")), STR_ARG(k ? k->resource : S("")), verbs[i % VERBS], STR_ARG(k ? k->version : S("")), (unsigned long long)n);
		}
	}
	buf_add(to, S("# HELP apiserver_request_duration_seconds Time from request to answer.\n# TYPE apiserver_request_duration_seconds histogram\n"));
	for (size_t i = 0; i < m->n; i++) {
		struct kind *k = i / VERBS ? &s->kinds[i / VERBS - 1] : NULL;
		uint64_t total = 0;
		for (size_t b = 0; b <= BUCKETS; b++)
			total += atomic_load_explicit(&m->v[i].buckets[b], memory_order_relaxed);
		if (!total)
			continue;
		struct buf labels = { 0 };
		buf_printf(&labels, "group=\"" STR_FMT "\",resource=\"" STR_FMT "\",verb=\"%s\",version=\"" STR_FMT "\"", STR_ARG(k ? k->group : S("")), STR_ARG(k ? k->resource : S("")),
		           verbs[i % VERBS], STR_ARG(k ? k->version : S("")));
		uint64_t sum = 0;
		for (size_t b = 0; b < BUCKETS; b++) {
			sum += atomic_load_explicit(&m->v[i].buckets[b], memory_order_relaxed);
			buf_printf(to, "apiserver_request_duration_seconds_bucket{" STR_FMT ",le=\"%g\"} %llu\n", STR_ARG(buf_str(&labels)), (double)bounds_us[b] / 1e6, (unsigned long long)sum);
		}
		buf_printf(to, "apiserver_request_duration_seconds_bucket{" STR_FMT ",le=\"+Inf\"} %llu\n", STR_ARG(buf_str(&labels)), (unsigned long long)total);
		buf_printf(to, "apiserver_request_duration_seconds_sum{" STR_FMT "} %g\n", STR_ARG(buf_str(&labels)), (double)atomic_load(&m->v[i].sum_us) / 1e6);
		buf_printf(to, "apiserver_request_duration_seconds_count{" STR_FMT "} %llu\n", STR_ARG(buf_str(&labels)), (unsigned long long)total);
		buf_free(&labels);
	}
	buf_add(to, S("# HELP apiserver_storage_objects Objects in the store by resource.\n# TYPE apiserver_storage_objects gauge\n"));
	for (size_t i = 0; i < s->nkinds; i++) {
		struct kind *k = &s->kinds[i];
		if (k->cache && k->stored == k)
			buf_printf(to, "apiserver_storage_objects{group=\"" STR_FMT "\",resource=\"" STR_FMT "\"} %zu\n", STR_ARG(k->group), STR_ARG(k->resource), cache_count(k->cache));
	}
	buf_printf(to, "# TYPE coracle_store_revision counter\ncoracle_store_revision %lld\n", (long long)store_revision(s->store));
	process(s, to);
}
