// An informer against a scripted server: what it lists, how it goes on when the server goes away, what handlers are told.
#include "client/informer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/io.h"
#include "net/http_server.h"
#include "schema_gen.h"

enum { MAX_WATCHES = 8, WAIT_MS = 5000 };

struct fake {
	struct http_server *server;
	int port;
	struct client *client;
	pthread_mutex_t lock;
	const char *list;       // the answer to a list
	char watch_version[32]; // resourceVersion of the last watch
	char last_list_query[256];
	bool gone; // the next watch is answered with 410
	struct http_exchange *watches[MAX_WATCHES];
	atomic_int lists, watched;
	// What handlers were told: "+ns/name@version", "~...", "-...".
	char told[4096];
};

static void watch_closed(struct http_exchange *x, void *data)
{
	struct fake *f = data;
	pthread_mutex_lock(&f->lock);
	for (int i = 0; i < MAX_WATCHES; i++)
		if (f->watches[i] == x)
			f->watches[i] = NULL;
	pthread_mutex_unlock(&f->lock);
}

static void handle(struct http_exchange *x, void *ctx)
{
	struct fake *f = ctx;
	struct http_request_in *r = http_request(x);
	struct http_params p;
	str v = S("");
	struct http_headers h = { 0 };
	http_query_parse(r->arena, r->query, &p);
	pthread_mutex_lock(&f->lock);
	if (http_param_get(&p, S("watch"), &v)) {
		http_param_get(&p, S("resourceVersion"), &v);
		snprintf(f->watch_version, sizeof(f->watch_version), STR_FMT, STR_ARG(v));
		if (f->gone) {
			f->gone = false;
			pthread_mutex_unlock(&f->lock);
			http_reply(x, 410, &h,
			           S("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":"
			             "\"too old\",\"reason\":\"Expired\",\"code\":410}"));
			return;
		}
		int i = 0;
		while (f->watches[i])
			i++;
		f->watches[i] = x;
		http_exchange_set(x, f, watch_closed);
		pthread_mutex_unlock(&f->lock);
		http_stream_start(x, 200, &h);
		atomic_fetch_add(&f->watched, 1);
		return;
	}
	str body = arena_dup(r->arena, str_c(f->list));
	snprintf(f->last_list_query, sizeof(f->last_list_query), STR_FMT, STR_ARG(r->query));
	pthread_mutex_unlock(&f->lock);
	http_reply(x, 200, &h, body);
	atomic_fetch_add(&f->lists, 1);
}

struct sending {
	struct fake *f;
	char text[4096];
	bool end, abort;
};

static void send_now(void *ctx)
{
	struct sending *s = ctx;
	pthread_mutex_lock(&s->f->lock);
	struct http_exchange *all[MAX_WATCHES];
	memcpy(all, s->f->watches, sizeof(all));
	pthread_mutex_unlock(&s->f->lock);
	for (int i = 0; i < MAX_WATCHES; i++) {
		if (!all[i])
			continue;
		if (*s->text)
			http_stream_write(all[i], str_c(s->text));
		if (s->abort)
			http_stream_abort(all[i]);
		else if (s->end)
			http_stream_end(all[i]);
	}
	free(s);
}

static void to_watches(struct fake *f, const char *text, bool end, bool abort)
{
	struct sending *s = calloc(1, sizeof(*s));
	s->f = f;
	s->end = end;
	s->abort = abort;
	snprintf(s->text, sizeof(s->text), "%s", text);
	http_loop_post(http_server_loop(f->server, 0), send_now, s);
}

static struct fake *start(const char *list)
{
	struct fake *f = calloc(1, sizeof(*f));
	struct error err = { 0 };
	pthread_mutex_init(&f->lock, NULL);
	f->list = list;
	f->server = http_server_start(
	        &(struct http_server_opts){ .address = "127.0.0.1", .loops = 1, .handle = handle, .ctx = f }, &err);
	assert_non_null(f->server);
	f->port = http_server_port(f->server);
	char path[] = "/tmp/informer_test.XXXXXX", text[512];
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	snprintf(text, sizeof(text),
	         "apiVersion: v1\nkind: Config\ncurrent-context: a\ncontexts:\n- name: a\n  context: {cluster: b, "
	         "user: c}\nclusters:\n- name: b\n  cluster: {server: "
	         "\"http://127.0.0.1:%d\"}\nusers:\n- name: c\n  user: {token: abc}\n",
	         f->port);
	assert_true(io_write_file(path, str_c(text), 0600, &err));
	f->client = client_from_kubeconfig(path, "test", NULL, NULL, &err);
	if (!f->client)
		fail_msg("%s", err.text);
	unlink(path);
	return f;
}

static void stop(struct fake *f, struct informer *i)
{
	informer_stop(i);
	http_server_stop(f->server, 100);
	client_free(f->client);
	free(f);
}

static void told(struct object_ref *old, struct object_ref *obj, void *ctx)
{
	struct fake *f = ctx;
	const struct meta_v1_ObjectMeta *m = object_ref_meta(obj ? obj : old);
	pthread_mutex_lock(&f->lock);
	size_t n = strlen(f->told);
	snprintf(f->told + n, sizeof(f->told) - n, "%c" STR_FMT "/" STR_FMT "@" STR_FMT " ",
	         !old   ? '+'
	         : !obj ? '-'
	                : '~',
	         STR_ARG(m->namespace), STR_ARG(m->name), STR_ARG(m->resourceVersion));
	pthread_mutex_unlock(&f->lock);
}

static void expect_told(struct fake *f, const char *text)
{
	for (int i = 0; i < WAIT_MS; i++) {
		pthread_mutex_lock(&f->lock);
		bool ok = strcmp(f->told, text) == 0;
		pthread_mutex_unlock(&f->lock);
		if (ok)
			return;
		usleep(1000);
	}
	assert_string_equal(f->told, text);
}

static void expect_count(atomic_int *count, int n)
{
	for (int i = 0; i < WAIT_MS && atomic_load(count) < n; i++)
		usleep(1000);
	assert_int_equal(atomic_load(count), n);
}

static struct informer *informer(struct fake *f)
{
	struct error err = { 0 };
	struct informer *i = informer_new(f->client, schema_resource(S(""), S("v1"), S("configmaps")), NULL);
	informer_add_handler(i, &(struct informer_handler){ told, f });
	assert_true(informer_start(i, &err));
	assert_true(informer_wait_synced(i, WAIT_MS));
	expect_count(&f->watched, 1);
	return i;
}

#define CM(name, uid, version) \
	"{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"d\",\"uid\":\"" uid "\",\"resourceVersion\":\"" version \
	"\"},\"data\":{\"k\":\"v\"}}"
#define LIST(version, items) \
	"{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"" version \
	"\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"

static void lists_and_watches(void **state)
{
	struct fake *f = start(LIST("10", CM("a", "1", "5") "," CM("b", "2", "7")));
	struct informer *i = informer(f);
	expect_told(f, "+d/a@5 +d/b@7 ");
	assert_string_equal(f->watch_version, "10");
	to_watches(f,
	           EVENT("ADDED", CM("c", "3", "11")) EVENT("MODIFIED", CM("a", "1", "12"))
	                   EVENT("DELETED", CM("b", "2", "13")),
	           false, false);
	expect_told(f, "+d/a@5 +d/b@7 +d/c@11 ~d/a@12 -d/b@13 ");
	struct object_ref *a = informer_get(i, S("d"), S("a"));
	assert_non_null(a);
	const struct core_v1_ConfigMap *cm = object_of(a);
	assert_true(str_eq(str_map_get(&cm->data, S("k")), S("v")));
	assert_null(informer_get(i, S("d"), S("b")));
	struct object_list all = informer_list(i);
	assert_int_equal(all.n, 2);
	informer_list_free(&all);
	// An event in pieces is put together.
	to_watches(f, "{\"type\":\"MODIFIED\",\"obj", false, false);
	usleep(20000);
	to_watches(f, "ect\":" CM("a", "1", "14") "}\n", false, false);
	expect_told(f, "+d/a@5 +d/b@7 +d/c@11 ~d/a@12 -d/b@13 ~d/a@14 ");
	assert_true(str_eq(object_ref_meta(a)->resourceVersion, S("12"))); // what one holds does not change
	object_unref(a);
	stop(f, i);
}

static void goes_on_where_it_was(void **state)
{
	struct fake *f = start(LIST("10", CM("a", "1", "5")));
	struct informer *i = informer(f);
	to_watches(f,
	           EVENT("BOOKMARK",
	                 "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"40\"}}"),
	           false, false);
	usleep(50000);
	int64_t before = clock_mono(NULL);
	to_watches(f, "", false, true); // the connection breaks
	expect_count(&f->watched, 2);
	assert_true(clock_mono(NULL) - before < 500 * NS_PER_MS);
	assert_string_equal(f->watch_version, "40");
	to_watches(f, EVENT("MODIFIED", CM("a", "1", "41")), true, false); // the watch ends in peace
	expect_count(&f->watched, 3);
	assert_string_equal(f->watch_version, "41");
	assert_int_equal(f->lists, 1);
	expect_told(f, "+d/a@5 ~d/a@41 ");
	stop(f, i);
}

static void lists_again_when_too_old(void **state)
{
	struct fake *f = start(LIST("10", CM("a", "1", "5") "," CM("b", "2", "6") "," CM("c", "3", "7")));
	struct informer *i = informer(f);
	assert_non_null(strstr(f->last_list_query, "resourceVersion=0"));
	pthread_mutex_lock(&f->lock);
	f->list = LIST(
	        "90", CM("a", "1", "5") "," CM("b", "22", "80")); // a is the same, b another one of its name, c is gone
	f->gone = true;
	f->told[0] = 0;
	pthread_mutex_unlock(&f->lock);
	to_watches(f, "", true, false);
	expect_count(&f->lists, 2);
	expect_told(f, "-d/b@6 +d/b@80 -d/c@7 ");
	expect_count(&f->watched, 2);
	assert_null(strstr(f->last_list_query, "resourceVersion"));
	assert_string_equal(f->watch_version, "90");
	// The same word as an event.
	to_watches(f,
	           EVENT("ERROR", "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
	                          "\"message\":\"too old\",\"reason\":\"Expired\",\"code\":410}"),
	           false, false);
	expect_count(&f->lists, 3);
	stop(f, i);
}

static void by_owner(const void *obj, struct arena *a, struct str_list *keys)
{
	const struct core_v1_ConfigMap *cm = obj;
	*LIST_ADD(a, keys) = str_map_get(&cm->data, S("k"));
}

static void indexes_follow(void **state)
{
	struct error err = { 0 };
	struct fake *f = start(LIST("10", CM("a", "1", "5") "," CM("b", "2", "6")));
	struct informer *i = informer_new(f->client, schema_resource(S(""), S("v1"), S("configmaps")), NULL);
	informer_add_index(i, "k", by_owner);
	informer_add_handler(i, &(struct informer_handler){ told, f });
	assert_true(informer_start(i, &err) && informer_wait_synced(i, WAIT_MS));
	struct object_list l = informer_by_index(i, "k", S("v"));
	assert_int_equal(l.n, 2);
	informer_list_free(&l);
	expect_count(&f->watched, 1);
	to_watches(f,
	           EVENT("MODIFIED", "{\"metadata\":{\"name\":\"a\",\"namespace\":\"d\",\"uid\":\"1\","
	                             "\"resourceVersion\":\"11\"},\"data\":{\"k\":\"w\"}}"),
	           false, false);
	expect_told(f, "+d/a@5 +d/b@6 ~d/a@11 ");
	l = informer_by_index(i, "k", S("v"));
	assert_int_equal(l.n, 1);
	assert_true(str_eq(object_ref_meta(l.v[0])->name, S("b")));
	informer_list_free(&l);
	l = informer_by_index(i, "k", S("w"));
	assert_int_equal(l.n, 1);
	informer_list_free(&l);
	l = informer_by_index(i, "k", S("x"));
	assert_int_equal(l.n, 0);
	informer_list_free(&l);
	stop(f, i);
}

static void waits_for_a_server(void **state)
{
	struct error err = { 0 };
	struct fake *f = start(LIST("10", CM("a", "1", "5")));
	http_server_stop(f->server, 0);
	struct informer *i = informer_new(f->client, schema_resource(S(""), S("v1"), S("configmaps")), NULL);
	informer_add_handler(i, &(struct informer_handler){ told, f });
	assert_true(informer_start(i, &err));
	assert_false(informer_wait_synced(i, 200));
	f->server = http_server_start(
	        &(struct http_server_opts){
	                .address = "127.0.0.1", .port = f->port, .loops = 1, .handle = handle, .ctx = f },
	        &err);
	assert_non_null(f->server);
	assert_true(informer_wait_synced(i, WAIT_MS));
	expect_told(f, "+d/a@5 ");
	stop(f, i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_and_watches),        cmocka_unit_test(goes_on_where_it_was),
		cmocka_unit_test(lists_again_when_too_old), cmocka_unit_test(indexes_follow),
		cmocka_unit_test(waits_for_a_server),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
