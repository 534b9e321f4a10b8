#include "base/encode.h"
#include "base/io.h"
#include "kubectl/cmd.h"
#include "kubectl/pods.h"

struct log_source {
	str ns, pod, container;
};

static bool log_query(struct kctl *k, str container, int64_t tail, str *query, struct error *err)
{
	int64_t since = 0, limit = 0;
	_cleanup_buf_ struct buf b = { 0 };
	if (!flag_duration(k, "since", &since, err) || !flag_int(k, "limit-bytes", &limit, err))
		return false;
	str since_time = flag_text(k, "since-time");
	if (since && since_time.n)
		return error_set(err, "at most one of `sinceTime` or `sinceSeconds` may be specified");
	buf_printf(&b, "?container=" STR_FMT, STR_ARG(percent_encode(k->a, container)));
	if (flag_bool(k, "follow"))
		buf_add(&b, S("&follow=true"));
	if (flag_bool(k, "previous"))
		buf_add(&b, S("&previous=true"));
	if (flag_bool(k, "timestamps"))
		buf_add(&b, S("&timestamps=true"));
	if (tail >= 0)
		buf_printf(&b, "&tailLines=%lld", (long long)tail);
	if (since > 0)
		buf_printf(&b, "&sinceSeconds=%lld", (long long)((since + 999999999) / 1000000000));
	if (since_time.n)
		buf_printf(&b, "&sinceTime=" STR_FMT, STR_ARG(percent_encode(k->a, since_time)));
	if (limit > 0)
		buf_printf(&b, "&limitBytes=%lld", (long long)limit);
	*query = arena_dup(k->a, buf_str(&b));
	return true;
}

// Writes text, each line with the prefix before it.
static bool put_lines(str text, str prefix, bool *line_start, struct error *err)
{
	if (!prefix.n)
		return io_write_all(STDOUT_FILENO, text, err);
	_cleanup_buf_ struct buf b = { 0 };
	for (size_t i = 0; i < text.n; i++) {
		if (*line_start)
			buf_add(&b, prefix);
		buf_add_char(&b, text.p[i]);
		*line_start = text.p[i] == '\n';
	}
	return io_write_all(STDOUT_FILENO, buf_str(&b), err);
}

static bool stream_log(struct kctl *k, const struct log_source *s, int64_t tail, bool prefixed, struct error *err)
{
	str query = { 0 };
	if (!log_query(k, s->container, tail, &query, err))
		return false;
	struct http_call call = { .method = "GET", .timeout_ms = -1 };
	struct http_answer head = { 0 };
	call.path = arena_printf(k->a, "/api/v1/namespaces/" STR_FMT "/pods/" STR_FMT "/log" STR_FMT, STR_ARG(s->ns),
	                         STR_ARG(s->pod), STR_ARG(query));
	http_header_add(k->a, &call.headers, S("accept"), S("application/json, */*"));
	api_headers(k, k->a, &call.headers);
	struct http_stream_in *in = http_client_open(k->http, k->a, &call, &head, err);
	if (!in)
		return http_connect_error(k, err);
	str prefix =
	        prefixed ? arena_printf(k->a, "[pod/" STR_FMT "/" STR_FMT "] ", STR_ARG(s->pod), STR_ARG(s->container))
	                 : (str){ 0 };
	_cleanup_buf_ struct buf refused = { 0 };
	char text[16384];
	bool ok = true, line_start = true;
	while (ok) {
		ssize_t n = http_stream_read(in, text, sizeof(text), -1, err);
		if (n <= 0) {
			ok = n == 0;
			break;
		}
		if (head.status >= 400)
			buf_add(&refused, str_n(text, (size_t)n));
		else
			ok = put_lines(str_n(text, (size_t)n), prefix, &line_start, err);
	}
	http_stream_in_close(in);
	return head.status >= 400 ? api_fail(k, k->a, head.status, buf_str(&refused), err) : ok;
}

static bool pod_logs(struct kctl *k, const struct value *pod, int64_t tail, bool prefixed, struct error *err)
{
	struct log_source s = { .ns = value_str(value_path(pod, S("metadata"), S("namespace"))),
		                .pod = value_str(value_path(pod, S("metadata"), S("name"))) };
	if (!flag_bool(k, "all-containers"))
		return pod_choose_container(k, pod, flag_text(k, "container"), false, &s.container, err) &&
		       stream_log(k, &s, tail, prefixed, err);
	static const char *const lists[] = { "initContainers", "containers", "ephemeralContainers" };
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		const struct value *v = value_path(pod, S("spec"), str_c(lists[l]));
		for (size_t i = 0; value_is(v, V_ARRAY) && i < v->a.n; i++) {
			s.container = value_get_str(v->a.v[i], S("name"));
			if (!stream_log(k, &s, tail, prefixed, err))
				return false;
		}
	}
	return true;
}

bool run_logs(struct kctl *k, struct error *err)
{
	str selector = flag_text(k, "selector"), container = flag_text(k, "container");
	int64_t tail;
	if (!flag_int(k, "tail", &tail, err))
		return false;
	if (tail < -1)
		return error_set(err, "--tail must be greater than or equal to -1");
	if (k->args.n == 0 && !selector.n)
		return kc_usage_error(k, err,
		                      "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME "
		                      "is a required argument for the logs command");
	if (k->args.n && selector.n)
		return kc_usage_error(k, err, "only a selector (-l) or a POD name is allowed");
	if (k->args.n > 2)
		return kc_usage_error(k, err,
		                      "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME "
		                      "is a required argument for the logs command");
	if (flag_bool(k, "all-containers") && container.n)
		return error_set(err, "--all-containers=true should not be specified with container name " STR_FMT,
		                 STR_ARG(container));
	if (selector.n) {
		struct value *items;
		if (!pods_selected(k, k->ns, selector, &items, err))
			return false;
		if (flag_bool(k, "follow") && items->a.n > 1)
			return error_set(err,
			                 "following the logs of several pods at once is not supported by this client");
		if (items->a.n == 0)
			fprintf(stderr, "No resources found in " STR_FMT " namespace.\n", STR_ARG(k->ns));
		for (size_t i = 0; i < items->a.n; i++) {
			struct error why = { 0 };
			if (!pod_logs(k, items->a.v[i], flag_set(k, "tail") ? tail : 10, flag_bool(k, "prefix"), &why))
				kc_report(k, &why);
		}
		return true;
	}
	if (k->args.n == 2 && !container.n) { // logs POD CONTAINER
		for (size_t i = 0; i < k->flags.n; i++)
			if (strcmp(k->flags.v[i].def->name, "container") == 0)
				k->flags.v[i].text = k->args.v[1];
	}
	struct value *pod = pod_of(k, k->args.v[0], false, err);
	return pod && pod_logs(k, pod, tail, flag_bool(k, "prefix"), err);
}
