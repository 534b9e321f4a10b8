// What the files of this folder know about each other.
#ifndef CORACLE_CLIENT_CLIENT_INTERNAL_H
#define CORACLE_CLIENT_CLIENT_INTERNAL_H

#include "base/io.h"
#include "client/client.h"

// What a kubeconfig's current context says. PEM text is inline, whatever the file referred to.
struct kubeconfig {
	str server;
	str ca_pem, cert_pem, key_pem;
	str token, token_file;
	str ns;
	const char *server_name; // NULL: the host of the server
	bool insecure;
};
bool kubeconfig_read(struct arena *a, const char *path, struct kubeconfig *out, struct error *err);
// The same from its text; relative files are looked up in `dir`.
bool kubeconfig_parse(struct arena *a, str text, str dir, struct kubeconfig *out, struct error *err);

// Turns an answer of status >= 400 into an error: the Status object's code, reason and message where it is one.
bool client_error_of(struct arena *a, const struct http_answer *answer, struct error *err);
// Seconds that a Retry-After header asks for; -1: there is none.
int64_t client_retry_after(const struct http_answer *answer);
// The constant for a StatusReason ("NotFound"); by HTTP status where the text is unknown.
const char *client_reason(str reason, int code);
// "/apis/apps/v1/namespaces/default/deployments"; ns empty: all namespaces.
str client_path(struct arena *a, str group, str version, str resource, str ns);

#endif
