// kubectl exec over WebSocket, protocol v5.channel.k8s.io: each message begins with a channel number.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#include "base/encode.h"
#include "base/io.h"
#include "kubectl/cmd.h"
#include "kubectl/pods.h"
#include "net/websocket.h"

enum { CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_ERROR, CHANNEL_RESIZE, CHANNEL_CLOSE = 255 };

struct session {
	struct ws_client *ws;
	bool use_stdin, tty;
	int stop[2]; // closed by the main thread to end the other
	int resized; // signalfd for SIGWINCH; -1: none
};

static void send_size(struct session *s)
{
	struct winsize size;
	struct error ignored;
	char text[80];
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
		return;
	int n = snprintf(text, sizeof(text), "%c{\"Width\":%u,\"Height\":%u}", CHANNEL_RESIZE, size.ws_col,
	                 size.ws_row);
	ws_write(s->ws, WS_BINARY, str_n(text, (size_t)n), &ignored);
}

// Sends what is typed, and the terminal's size when it changes.
static void *pump_input(void *arg)
{
	struct session *s = arg;
	struct error err = { 0 };
	char text[8193];
	bool input = s->use_stdin;
	for (;;) {
		struct pollfd fds[] = { { .fd = s->stop[0], .events = POLLIN },
			                { .fd = input ? STDIN_FILENO : -1, .events = POLLIN },
			                { .fd = s->resized, .events = POLLIN } };
		if (poll(fds, ARRAY_LEN(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents)
			break;
		if (fds[2].revents & POLLIN) {
			struct signalfd_siginfo info;
			(void)!read(s->resized, &info, sizeof(info));
			send_size(s);
		}
		if (!input || !fds[1].revents)
			continue;
		text[0] = CHANNEL_STDIN;
		ssize_t n = read(STDIN_FILENO, text + 1, sizeof(text) - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			const char end[] = { (char)CHANNEL_CLOSE, CHANNEL_STDIN };
			ws_write(s->ws, WS_BINARY, str_n(end, 2), &err);
			input = false;
		} else if (!ws_write(s->ws, WS_BINARY, str_n(text, (size_t)n + 1), &err)) {
			break;
		}
	}
	return NULL;
}

// The last message tells how the command ended.
static bool end_status(struct kctl *k, str text, struct error *err)
{
	struct error ignored;
	struct value *status = json_parse(k->a, arena_dup(k->a, text), NULL, &ignored);
	if (str_eqc(value_get_str(status, S("status")), "Success"))
		return true;
	const struct value *causes = value_path(status, S("details"), S("causes"));
	for (size_t i = 0; value_is(causes, V_ARRAY) && i < causes->a.n; i++) {
		int64_t code;
		if (str_eqc(value_get_str(causes->a.v[i], S("reason")), "ExitCode") &&
		    str_to_i64(value_get_str(causes->a.v[i], S("message")), &code)) {
			fflush(stdout);
			fprintf(stderr, "command terminated with exit code %lld\n", (long long)code);
			k->exit_code = (int)(code & 255) ? (int)(code & 255) : 1;
			return true;
		}
	}
	str message = value_get_str(status, S("message"));
	return error_set(err, STR_FMT, STR_ARG(message.n ? message : text));
}

static bool converse(struct kctl *k, struct session *s, struct error *err)
{
	bool ended = false, ok = true;
	while (ok) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		enum ws_opcode op;
		str message;
		int code = 0;
		struct error why = { 0 };
		if (!ws_read(s->ws, a, &op, &message, &code, -1, &why)) {
			if (ended || why.code == 0)
				break;
			*err = why;
			return false;
		}
		if (message.n == 0)
			continue;
		str body = str_from(message, 1);
		switch ((unsigned char)message.p[0]) {
		case CHANNEL_STDOUT:
			ok = io_write_all(STDOUT_FILENO, body, err);
			break;
		case CHANNEL_STDERR:
			ok = io_write_all(STDERR_FILENO, body, err);
			break;
		case CHANNEL_ERROR:
			ended = true;
			ok = end_status(k, body, err);
			break;
		}
	}
	if (ok && !ended)
		return error_set(err, "the connection ended before the command did");
	return ok;
}

static bool run_session(struct kctl *k, struct session *s, struct error *err)
{
	struct termios saved, raw;
	sigset_t winch;
	pthread_t thread;
	bool is_terminal = s->tty && tcgetattr(STDIN_FILENO, &saved) == 0;
	if (pipe2(s->stop, O_CLOEXEC) < 0)
		return error_errno(err, "pipe");
	s->resized = -1;
	if (is_terminal) {
		raw = saved;
		cfmakeraw(&raw);
		tcsetattr(STDIN_FILENO, TCSADRAIN, &raw);
		sigemptyset(&winch);
		sigaddset(&winch, SIGWINCH);
		pthread_sigmask(SIG_BLOCK, &winch, NULL);
		s->resized = signalfd(-1, &winch, SFD_CLOEXEC | SFD_NONBLOCK);
		send_size(s);
	}
	bool started = pthread_create(&thread, NULL, pump_input, s) == 0;
	bool ok = started ? converse(k, s, err) : error_set(err, "cannot start a thread");
	close(s->stop[1]);
	if (started)
		pthread_join(thread, NULL);
	close(s->stop[0]);
	closep(&s->resized);
	if (is_terminal)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	return ok;
}

bool run_exec(struct kctl *k, struct error *err)
{
	if (k->args.n == 0 || k->dash == 0)
		return kc_usage_error(k, err, "pod, type/name or --filename must be specified");
	if (k->dash < 0 && k->args.n > 1)
		return error_set(err,
		                 "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] "
		                 "instead\nSee '%s exec -h' for help and examples",
		                 k->program);
	if (k->dash > 1)
		return kc_usage_error(k, err, "expected one POD before --");
	if (k->args.n < 2)
		return error_set(err, "you must specify at least one command for the container");
	struct session s = { .use_stdin = flag_bool(k, "stdin"), .tty = flag_bool(k, "tty") };
	if (s.tty && s.use_stdin && !isatty(STDIN_FILENO)) {
		fprintf(stderr, "Unable to use a TTY - input is not a terminal or the right kind of file\n");
		s.tty = false;
	}
	struct value *pod = pod_of(k, k->args.v[0], true, err);
	if (!pod)
		return false;
	str phase = value_str(value_path(pod, S("status"), S("phase"))), container;
	if (str_eqc(phase, "Succeeded") || str_eqc(phase, "Failed"))
		return error_set(err, "cannot exec into a container in a completed pod; current phase is " STR_FMT,
		                 STR_ARG(phase));
	if (!pod_choose_container(k, pod, flag_text(k, "container"), flag_bool(k, "quiet"), &container, err))
		return false;
	_cleanup_buf_ struct buf path = { 0 };
	buf_printf(&path, "/api/v1/namespaces/" STR_FMT "/pods/" STR_FMT "/exec?container=" STR_FMT,
	           STR_ARG(value_str(value_path(pod, S("metadata"), S("namespace")))),
	           STR_ARG(value_str(value_path(pod, S("metadata"), S("name")))),
	           STR_ARG(percent_encode(k->a, container)));
	for (size_t i = 1; i < k->args.n; i++)
		buf_printf(&path, "&command=" STR_FMT, STR_ARG(percent_encode(k->a, k->args.v[i])));
	buf_printf(&path, "%s&stdout=true%s%s", s.use_stdin ? "&stdin=true" : "", s.tty ? "" : "&stderr=true",
	           s.tty ? "&tty=true" : "");
	struct http_call call = { .method = "GET", .path = buf_str(&path), .timeout_ms = -1 };
	struct http_answer refused = { 0 };
	str chosen;
	api_headers(k, k->a, &call.headers);
	s.ws = ws_connect(k->http, k->a, &call, S("v5.channel.k8s.io"), &chosen, &refused, err);
	if (!s.ws)
		return refused.status >= 400 ? api_fail(k, k->a, refused.status, refused.body, err)
		                             : http_connect_error(k, err);
	bool ok = run_session(k, &s, err);
	ws_free(s.ws);
	return ok;
}
