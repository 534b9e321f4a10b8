// A CRI client for tests: cri_call SOCKET METHOD [REQUEST-AS-JSON] prints the response as JSON; for a stream one line each.
// Exit status 0, or the gRPC code, with the message on standard error.
#include <stdio.h>
#include <stdlib.h>

#include "base/io.h"
#include "net/grpc.h"
#include "schema_gen.h"

static const struct message_desc *message(struct arena *a, const char *method, const char *suffix)
{
	const char *name = strcmp(method, "GetContainerEvents") == 0 ? (strcmp(suffix, "Request") == 0 ? "GetEvents" : "ContainerEvent") : method;
	return schema_message(arena_printf(a, "runtime.v1.%s%s", name, suffix));
}

struct printer { const struct message_desc *m; int left; };

static bool print(const struct message_desc *m, str bytes)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	void *obj = schema_from_pb(a, m, bytes, &err);
	if (!obj) {
		fprintf(stderr, "%s\n", err.text);
		return false;
	}
	_cleanup_buf_ struct buf b = { 0 };
	schema_to_json(&b, m, obj);
	printf(STR_FMT "\n", STR_ARG(buf_str(&b)));
	return fflush(stdout) == 0;
}

static bool on_message(str bytes, void *ctx)
{
	struct printer *p = ctx;
	return print(p->m, bytes) && --p->left != 0;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: cri_call SOCKET METHOD [JSON] [EVENTS]\n");
		return 100;
	}
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	const char *method = argv[2];
	const struct message_desc *in = message(a, method, "Request"), *out = message(a, method, "Response");
	if (!in || !out) {
		fprintf(stderr, "no method %s\n", method);
		return 100;
	}
	void *req = schema_from_json(a, in, argc > 3 ? str_c(argv[3]) : S("{}"), NULL, &err);
	if (!req) {
		fprintf(stderr, "request: %s\n", err.text);
		return 100;
	}
	struct buf b = { 0 };
	schema_to_pb(&b, in, req);
	bool image = strstr(method, "Image") != NULL;
	const char *path = arena_printf(a, "/runtime.v1.%sService/%s", image ? "Image" : "Runtime", method ? method : "").p;
	struct grpc_client *c = grpc_client_new(argv[1]);
	bool ok;
	if (strcmp(method, "GetContainerEvents") == 0) {
		struct printer p = { out, argc > 4 ? atoi(argv[4]) : -1 };
		ok = grpc_call_stream(c, path, buf_str(&b), on_message, &p, 0, &err) || p.left == 0;
	} else {
		str response;
		ok = grpc_call(c, a, path, buf_str(&b), &response, 20000, &err) && print(out, response);
	}
	buf_free(&b);
	grpc_client_free(c);
	if (!ok)
		fprintf(stderr, "%s: %s\n", grpc_code_name((enum grpc_code)err.sys), err.text);
	return ok ? 0 : err.sys ? err.sys : 2;
}
