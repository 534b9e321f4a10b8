#include "kubelet/lifecycle.h"

#include "kubelet/probe_run.h"

#define HTTP_MS 60000

bool hook_run(struct kubelet *k, struct arena *a, const struct core_v1_Pod *pod, const struct core_v1_Container *c,
              const struct core_v1_LifecycleHandler *h, str container_id, str pod_ip, int limit_ms, str *message)
{
	str text = S(""), where = arena_concat(a, S(" for Container "), quoted(a, c->name), S(" in Pod "), quoted(a, pod_text(a, &pod->metadata)),
	                                       S(" failed - error: "));
	int status;
	if (h->exec) {
		if (exec_check(k, a, container_id, &h->exec->command, limit_ms, &text) == CHECK_OK)
			return true;
		*message = arena_concat(a, S("Exec lifecycle hook ("), names_text(a, &h->exec->command), S(")"), where,
		                        S("command failed, message: "), quoted(a, text));
		return false;
	}
	if (h->httpGet) {
		int timeout = limit_ms > 0 ? MIN(limit_ms, HTTP_MS) : HTTP_MS;
		// Any answer is good, as long as there is one.
		enum check r = http_check(k, a, c, h->httpGet, pod_ip, "lifecycle", timeout, &status, &text);
		if (r == CHECK_OK || status > 0)
			return true;
		*message = arena_concat(a, S("HTTP lifecycle hook ("), h->httpGet->path, S(")"), where, text);
		return false;
	}
	if (h->sleep) {
		int64_t ms = h->sleep->seconds * 1000;
		if (limit_ms > 0 && ms > limit_ms)
			ms = limit_ms;
		clock_sleep(k->clock, ms * NS_PER_MS);
		return true;
	}
	*message = S("Cannot run handler: invalid handler");
	return false;
}
