#include "kubelet/cri.h"

void *cri_call(struct grpc_client *c, struct arena *a, const char *method, const void *request, int timeout_ms, struct error *err)
{
	const struct method_desc *m = schema_method(str_c(method));
	_cleanup_buf_ struct buf bytes = { 0 };
	str answer;
	if (!m) {
		grpc_error(err, GRPC_UNIMPLEMENTED, "unknown method %s", method);
		return NULL;
	}
	schema_to_pb(&bytes, schema_message_at(m->request), request);
	if (!grpc_call(c, a, method, buf_str(&bytes), &answer, timeout_ms, err))
		return NULL;
	void *out = schema_from_pb(a, schema_message_at(m->response), answer, err);
	if (!out)
		err->sys = GRPC_INTERNAL;
	return out;
}

str cri_error_text(struct arena *a, const struct error *err)
{
	return arena_printf(a, "rpc error: code = %s desc = %s", grpc_code_name((enum grpc_code)err->sys), err->text);
}

const char *cri_socket_path(const char *endpoint)
{
	str s = str_c(endpoint);
	if (str_cut_prefix(&s, S("unix://")) || (s.n && s.p[0] == '/'))
		return s.p;
	return NULL;
}
