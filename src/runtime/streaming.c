// The streaming server that CRI's Exec leads to: HTTP on the loopback, one path with a secret for each prepared exec, and
// behind it a WebSocket in the protocols of Kubernetes (v5.channel.k8s.io, v4.channel.k8s.io): each message begins with
// its channel.
//
// A session has two sides: callbacks on the connection's loop, and a thread that runs the OCI runtime and moves bytes. They
// meet in `struct session` under its lock; the loop never waits, the thread waits on descriptors and for the peer to
// take what it has been sent.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/heap.h"
#include "base/io.h"
#include "base/log.h"
#include "base/proc.h"
#include "json/json.h"
#include "net/websocket.h"
#include "runtime/server.h"

enum { CH_STDIN = 0, CH_STDOUT = 1, CH_STDERR = 2, CH_ERROR = 3, CH_RESIZE = 4, CH_CLOSE = 255 };
enum { TOKEN_LIFE_S = 60, TOKENS_MAX = 1000, INPUT_MAX = 1 << 20, OUTPUT_MAX = 512 * 1024, CONSOLE_WAIT_MS = 30 * 1000 };

struct ticket { // an exec that was prepared and not yet asked for
	struct arena *arena;
	struct cri_v1_ExecRequest *req;
	int64_t until;
};

struct streaming {
	struct runtime *rt;
	struct http_server *server;
	pthread_mutex_t lock;
	struct map tickets; // [lock]
};

struct session {
	struct streaming *st;
	struct ticket *ticket;
	struct container *c;
	struct http_loop *loop;
	struct ws_server *ws;   // only on the loop; NULL when the peer is gone
	struct http_timer *timer; // only on the loop
	int wake;               // eventfd: something below has changed
	pthread_mutex_t lock;
	pthread_cond_t taken;
	int refs;               // [lock] the loop's side, the thread, each posted call
	struct buf input;       // [lock] for standard input
	bool input_end, gone;   // [lock]
	bool paused;            // [lock] reading from the peer
	bool resized;           // [lock]
	struct winsize size;    // [lock]
	size_t flying;          // [lock] bytes on their way to the peer
};

static void ticket_free(struct ticket *t)
{
	if (!t)
		return;
	arena_free(t->arena);
	free(t);
}

static void session_put(struct session *s)
{
	pthread_mutex_lock(&s->lock);
	bool last = --s->refs == 0;
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	container_put(s->st->rt, s->c);
	ticket_free(s->ticket);
	close(s->wake);
	buf_free(&s->input);
	pthread_cond_destroy(&s->taken);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void wake(struct session *s)
{
	uint64_t one = 1;
	(void)!write(s->wake, &one, sizeof(one));
}

// --- The loop's side ---

static void on_message(struct ws_server *w, void *ctx, enum ws_opcode op, str message)
{
	struct session *s = ctx;
	(void)op;
	if (message.n == 0)
		return;
	str body = str_from(message, 1);
	pthread_mutex_lock(&s->lock);
	switch ((unsigned char)message.p[0]) {
	case CH_STDIN:
		if (!s->input_end)
			buf_add(&s->input, body);
		if (s->input.n > INPUT_MAX && !s->paused) {
			s->paused = true;
			ws_pause(w, true);
		}
		break;
	case CH_RESIZE: {
		_cleanup_arena_ struct arena *a = arena_new(0);
		struct error ignored = { 0 };
		struct value *v = body.n < 1024 ? json_parse(a, body, &(struct json_opts){ .max_depth = 4 }, &ignored) : NULL;
		int64_t width = 0, height = 0;
		if (value_to_i64(value_get(v, S("Width")), &width) && value_to_i64(value_get(v, S("Height")), &height) && width > 0 && height > 0 &&
		    width < 65536 && height < 65536) {
			s->size = (struct winsize){ .ws_row = (unsigned short)height, .ws_col = (unsigned short)width };
			s->resized = true;
		}
		break;
	}
	case CH_CLOSE:
		if (body.n == 1 && body.p[0] == CH_STDIN)
			s->input_end = true;
		break;
	}
	pthread_mutex_unlock(&s->lock);
	wake(s);
}

static void on_close(struct ws_server *w, void *ctx)
{
	struct session *s = ctx;
	(void)w;
	s->ws = NULL;
	if (s->timer)
		http_timer_cancel(s->timer);
	s->timer = NULL;
	pthread_mutex_lock(&s->lock);
	s->gone = s->input_end = true;
	pthread_cond_signal(&s->taken);
	pthread_mutex_unlock(&s->lock);
	wake(s);
	session_put(s);
}

struct delivery {
	struct session *s;
	struct buf message;
	bool last;
};

static void drained(void *ctx)
{
	struct session *s = ctx;
	if (s->ws && ws_pending(s->ws) > OUTPUT_MAX / 4)
		return;
	if (s->timer)
		http_timer_cancel(s->timer);
	s->timer = NULL;
	pthread_mutex_lock(&s->lock);
	s->flying = 0;
	pthread_cond_signal(&s->taken);
	pthread_mutex_unlock(&s->lock);
}

static void deliver(void *ctx)
{
	struct delivery *d = ctx;
	struct session *s = d->s;
	if (s->ws) {
		size_t waiting = ws_send(s->ws, WS_BINARY, buf_str(&d->message));
		if (d->last)
			ws_close(s->ws, 1000, (str){ 0 });
		// A peer that does not keep up: the thread sends no more until most of it is gone.
		else if (waiting > OUTPUT_MAX && !s->timer)
			s->timer = http_timer_start(s->loop, 5, 5, drained, s);
	}
	if (!s->timer) {
		pthread_mutex_lock(&s->lock);
		s->flying -= MIN(s->flying, d->message.n);
		pthread_cond_signal(&s->taken);
		pthread_mutex_unlock(&s->lock);
	}
	buf_free(&d->message);
	free(d);
	session_put(s);
}

static void resume(void *ctx)
{
	struct session *s = ctx;
	if (s->ws)
		ws_pause(s->ws, false);
	session_put(s);
}

// --- The thread's side ---

static void post(struct session *s, void (*fn)(void *), void *ctx)
{
	pthread_mutex_lock(&s->lock);
	s->refs++;
	pthread_mutex_unlock(&s->lock);
	http_loop_post(s->loop, fn, ctx);
}

static void emit(struct session *s, int channel, str bytes, bool last)
{
	pthread_mutex_lock(&s->lock);
	while (s->flying > OUTPUT_MAX && !s->gone)
		pthread_cond_wait(&s->taken, &s->lock);
	s->flying += bytes.n + 1;
	pthread_mutex_unlock(&s->lock);
	struct delivery *d = HEAP_NEW(struct delivery);
	d->s = s;
	d->last = last;
	buf_add_char(&d->message, (char)channel);
	buf_add(&d->message, bytes);
	post(s, deliver, d);
}

// The end of it all, as a Status of the API on the error channel.
static void send_status(struct session *s, const struct error *failed, int code)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct value *v = value_object(a);
	value_set(a, v, S("metadata"), value_object(a));
	if (!failed && code == 0) {
		value_set(a, v, S("status"), value_string(a, S("Success")));
	} else if (failed) {
		value_set(a, v, S("status"), value_string(a, S("Failure")));
		struct value *details = value_object(a), *causes = value_array(a), *cause = value_object(a);
		str why = arena_printf(a, "error executing command in container: %s", failed->text);
		value_set(a, cause, S("message"), value_string(a, why));
		value_append(a, causes, cause);
		value_set(a, details, S("causes"), causes);
		value_set(a, v, S("message"), value_string(a, arena_concat(a, S("Internal error occurred: "), why)));
		value_set(a, v, S("reason"), value_string(a, S("InternalError")));
		value_set(a, v, S("details"), details);
		value_set(a, v, S("code"), value_int(a, 500));
	} else {
		struct value *details = value_object(a), *causes = value_array(a), *cause = value_object(a);
		value_set(a, cause, S("reason"), value_string(a, S("ExitCode")));
		value_set(a, cause, S("message"), value_string(a, arena_printf(a, "%d", code)));
		value_append(a, causes, cause);
		value_set(a, details, S("causes"), causes);
		value_set(a, v, S("status"), value_string(a, S("Failure")));
		value_set(a, v, S("message"), value_string(a, arena_printf(a, "command terminated with non-zero exit code: exit status %d", code)));
		value_set(a, v, S("reason"), value_string(a, S("NonZeroExitCode")));
		value_set(a, v, S("details"), details);
	}
	emit(s, CH_ERROR, json_text(a, v, JSON_COMPACT), true);
}

struct streams {
	int in, out, err;   // the command's; -1: none (any more); with a terminal in and out are the same one
	int exit;           // pidfd of the OCI runtime's exec
	bool tty;
	// Until the command runs (its pid file is there) output is the OCI runtime's complaint, not the command's.
	const char *pid_file;
	bool began;
	struct buf held[2]; // of out and err
};

static void hold_or_emit(struct session *s, struct streams *f, bool is_err, str bytes)
{
	f->began = f->began || io_exists(f->pid_file);
	if (bytes.n)
		buf_add(&f->held[is_err], bytes);
	for (int i = 0; f->began && i < 2; i++)
		if (f->held[i].n) {
			emit(s, i ? CH_STDERR : CH_STDOUT, buf_str(&f->held[i]), false);
			buf_clear(&f->held[i]);
		}
}

static void end_input(struct streams *f)
{
	if (f->tty && f->in >= 0) {
		// A terminal has no half-close: the end-of-file character, as if it were typed.
		(void)!write(f->in, "\004", 1);
		f->in = -1;
	} else if (f->in >= 0) {
		close(f->in);
		f->in = -1;
	}
}

static void feed(struct session *s, struct streams *f)
{
	pthread_mutex_lock(&s->lock);
	if (s->resized && f->tty && f->out >= 0)
		ioctl(f->out, TIOCSWINSZ, &s->size);
	s->resized = false;
	while (f->in >= 0 && s->input.n) {
		ssize_t n = write(f->in, s->input.p, MIN(s->input.n, (size_t)64 * 1024));
		if (n > 0) {
			buf_consume(&s->input, (size_t)n);
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			if (!f->tty)
				close(f->in);
			f->in = -1;
		}
	}
	if (f->in < 0)
		buf_clear(&s->input);
	bool finish = s->input_end && s->input.n == 0, again = s->paused && s->input.n < INPUT_MAX / 2;
	if (again)
		s->paused = false;
	pthread_mutex_unlock(&s->lock);
	if (finish)
		end_input(f);
	if (again)
		post(s, resume, s);
}

static bool move(struct session *s, struct streams *f, struct error *err)
{
	enum { WAKE, IN, OUT, ERR, EXIT };
	bool exited = false;
	int64_t drain = 0;
	_cleanup_free_ char *block = heap_alloc(32 * 1024);
	while (!exited || f->out >= 0 || f->err >= 0) {
		pthread_mutex_lock(&s->lock);
		bool pending = s->input.n > 0, gone = s->gone;
		pthread_mutex_unlock(&s->lock);
		if (gone)
			return error_set(err, "the client is gone");
		struct pollfd p[] = {
			[WAKE] = { s->wake, POLLIN, 0 }, [IN] = { pending ? f->in : -1, POLLOUT, 0 }, [OUT] = { f->out, POLLIN, 0 }, [ERR] = { f->err, POLLIN, 0 },
			[EXIT] = { exited ? -1 : f->exit, POLLIN, 0 },
		};
		bool holding = f->held[0].n || f->held[1].n;
		int wait = drain ? (int)MAX((drain - clock_mono(NULL)) / NS_PER_MS, (int64_t)0) : -1;
		int n = poll(p, ARRAY_LEN(p), holding ? 5 : wait);
		if (n < 0 && errno != EINTR)
			return error_errno(err, "poll");
		if (holding)
			hold_or_emit(s, f, false, (str){ 0 });
		if (n == 0 && drain && clock_mono(NULL) >= drain)
			return true; // the command has ended; something it left behind keeps its output open
		if (p[WAKE].revents) {
			uint64_t count;
			(void)!read(s->wake, &count, sizeof(count));
		}
		if (p[WAKE].revents || p[IN].revents)
			feed(s, f);
		for (int i = OUT; i <= ERR; i++) {
			int *fd = i == OUT ? &f->out : &f->err;
			if (*fd < 0 || !p[i].revents)
				continue;
			ssize_t got = read(*fd, block, 32 * 1024);
			if (got > 0)
				hold_or_emit(s, f, i == ERR, str_n(block, (size_t)got));
			else if (got == 0 || (errno != EINTR && errno != EAGAIN)) { // a terminal ends with EIO
				if (!f->tty || i == ERR)
					close(*fd);
				*fd = -1;
			}
		}
		if (p[EXIT].revents) {
			exited = true;
			drain = clock_mono(NULL) + 2 * NS_PER_SEC;
		}
	}
	return true;
}

// The terminal's master side, which the OCI runtime sends over the console socket.
static int receive_console(int listener, int exit_fd, struct error *err)
{
	struct pollfd p[] = { { listener, POLLIN, 0 }, { exit_fd, POLLIN, 0 } };
	if (poll(p, 2, CONSOLE_WAIT_MS) <= 0 || !p[0].revents) {
		error_set(err, "the OCI runtime sent no terminal");
		return -1;
	}
	_cleanup_close_ int c = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char name[64];
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec iov = { name, sizeof(name) };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	if (c < 0 || recvmsg(c, &m, MSG_CMSG_CLOEXEC) < 0) {
		error_errno(err, "console socket");
		return -1;
	}
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	int fd = -1;
	if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(h), sizeof(int));
	else
		error_set(err, "the OCI runtime sent no terminal");
	return fd;
}

static int listen_console(const char *path, struct error *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(un.sun_path)) {
		error_set(err, "%s: path too long for a socket", path);
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, 1) < 0) {
		error_errno(err, "console socket");
		closep(&fd);
		return -1;
	}
	return fd;
}

static void kill_exec(struct arena *a, const char *pid_file, pid_t outside)
{
	str text;
	struct error gone = { 0 };
	int64_t pid = 0;
	if (io_read_file(a, pid_file, 64, &text, &gone) && str_to_i64(str_trim(text), &pid) && pid > 0)
		kill((pid_t)pid, SIGKILL);
	kill(outside, SIGKILL);
}

static bool run(struct session *s, struct arena *a, int *code, struct error *err)
{
	struct runtime *rt = s->st->rt;
	const struct cri_v1_ExecRequest *req = s->ticket->req;
	const char *process = exec_process_file(rt, a, s->c, &req->cmd, req->tty, err);
	if (!process)
		return false;
	const char *argv[20], *pid_file = arena_printf(a, "%s.pid", process).p;
	uint64_t id = rng_u64(NULL);
	const char *console = arena_printf(a, "%s/tty-%08" PRIx64, rt->opts.state, id >> 32).p;
	size_t n = oci_argv(rt, a, argv);
	argv[n++] = "exec";
	argv[n++] = "--process";
	argv[n++] = process;
	argv[n++] = "--pid-file";
	argv[n++] = pid_file;
	if (req->tty) {
		argv[n++] = "--console-socket";
		argv[n++] = console;
	}
	argv[n++] = s->c->id;
	argv[n] = NULL;
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, errp[2] = { -1, -1 };
	_cleanup_close_ int listener = -1;
	bool ok = pipe2(errp, O_CLOEXEC) == 0 && (req->tty || (pipe2(out, O_CLOEXEC) == 0 && (!req->stdin || pipe2(in, O_CLOEXEC) == 0)));
	if (!ok)
		error_errno(err, "pipe");
	if (ok && req->tty)
		ok = (listener = listen_console(console, err)) >= 0;
	pid_t pid = -1;
	struct proc_opts o = { .argv = argv, .dir = "/", .in = in[0], .out = out[1], .err = errp[1], .new_session = true };
	ok = ok && proc_start(&o, &pid, err);
	closep(&in[0]);
	closep(&out[1]);
	closep(&errp[1]);
	struct streams f = { .in = in[1], .out = out[0], .err = errp[0], .exit = -1, .tty = req->tty, .pid_file = pid_file };
	_cleanup_close_ int terminal = -1;
	struct error failed = { 0 };
	if (ok) {
		f.exit = (int)syscall(SYS_pidfd_open, pid, 0);
		if (req->tty) {
			terminal = receive_console(listener, f.exit, &failed);
			f.in = req->stdin ? terminal : -1;
			f.out = terminal;
		}
		if (f.in >= 0)
			io_set_nonblock(f.in, true);
		bool moved = (!req->tty || terminal >= 0) && (feed(s, &f), move(s, &f, &failed));
		if (!moved && (!req->tty || terminal >= 0))
			kill_exec(a, pid_file, pid);
		ok = proc_wait(pid, code, err);
		f.began = f.began || io_exists(pid_file);
		if (ok && moved && f.began) {
			hold_or_emit(s, &f, false, (str){ 0 });
		} else if (ok && moved && *code != 0) { // there never was a command
			str said = str_trim(buf_str(&f.held[f.held[1].n ? 1 : 0]));
			ptrdiff_t colour = str_find(said, S("Z: "));
			if (colour > 0 && str_has_prefix(said, S("\033")))
				said = str_from(said, (size_t)colour + 3);
			ptrdiff_t plain = str_find(said, S("\033[0m"));
			if (plain >= 0)
				said = str_sub(said, 0, (size_t)plain);
			ok = error_set(err, "failed to exec in container: failed to start exec: OCI runtime exec failed: " STR_FMT, STR_ARG(said));
		}
		if (ok && !moved) {
			*err = failed;
			ok = false;
		}
	}
	if (!f.tty) {
		closep(&f.in);
		closep(&f.out);
	}
	closep(&f.err);
	closep(&f.exit);
	buf_free(&f.held[0]);
	buf_free(&f.held[1]);
	if (listener >= 0)
		unlink(console);
	unlink(process);
	unlink(pid_file);
	return ok;
}

static void *session_thread(void *arg)
{
	struct session *s = arg;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	int code = 0;
	// An empty message tells the client that the streams are there.
	emit(s, s->ticket->req->stdout ? CH_STDOUT : CH_ERROR, (str){ 0 }, false);
	bool ok = run(s, a, &code, &err);
	send_status(s, ok ? NULL : &err, code);
	session_put(s);
	return NULL;
}

// --- Requests ---

static struct ticket *take_ticket(struct streaming *st, str token)
{
	pthread_mutex_lock(&st->lock);
	struct ticket *t = map_del(&st->tickets, token);
	pthread_mutex_unlock(&st->lock);
	if (t && t->until < clock_mono(NULL)) {
		ticket_free(t);
		return NULL;
	}
	return t;
}

static void handle(struct http_exchange *x, void *ctx)
{
	struct streaming *st = ctx;
	const struct http_request_in *r = http_request(x);
	static const struct http_headers none;
	static const str protocols[] = { S_INIT("v5.channel.k8s.io"), S_INIT("v4.channel.k8s.io") };
	static const struct ws_callbacks callbacks = { on_message, on_close };
	str token = r->path;
	if (!str_cut_prefix(&token, S("/exec/"))) {
		http_reply(x, 404, &none, S("404 page not found\n"));
		return;
	}
	if (!ws_is_upgrade(r)) {
		http_reply(x, 400, &none, S("a WebSocket upgrade is needed\n"));
		return;
	}
	str protocol = ws_choose_protocol(r, protocols, ARRAY_LEN(protocols));
	if (protocol.n == 0) {
		http_reply(x, 400, &none, S("unable to upgrade: no supported protocol (v5.channel.k8s.io, v4.channel.k8s.io)\n"));
		return;
	}
	struct ticket *t = take_ticket(st, token);
	struct error err = { 0 };
	struct container *c = t ? container_get(st->rt, t->req->container_id, &err) : NULL;
	if (!c) {
		ticket_free(t);
		http_reply(x, 404, &none, S("no such exec\n"));
		return;
	}
	struct session *s = HEAP_NEW(struct session);
	*s = (struct session){ .st = st, .ticket = t, .c = c, .loop = http_exchange_loop(x), .refs = 2, .wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->taken, NULL);
	s->input_end = !t->req->stdin;
	s->ws = ws_accept(x, protocol, &callbacks, s, &err);
	if (!s->ws) {
		http_reply(x, err.code ? err.code : 400, &none, error_str(&err));
		s->refs = 1;
		session_put(s);
		return;
	}
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 512 * 1024);
	if (pthread_create(&thread, &attr, session_thread, s) != 0) {
		ws_close(s->ws, 1011, S("no thread"));
		session_put(s);
	}
	pthread_attr_destroy(&attr);
}

struct streaming *streaming_start(struct runtime *rt, struct error *err)
{
	struct streaming *st = HEAP_NEW(struct streaming);
	st->rt = rt;
	pthread_mutex_init(&st->lock, NULL);
	struct http_server_opts o = { .address = rt->opts.streaming_address, .loops = 1, .max_body = 4096, .max_connections = 1000, .handle = handle, .ctx = st };
	st->server = http_server_start(&o, err);
	if (!st->server) {
		free(st);
		return NULL;
	}
	return st;
}

void streaming_stop(struct streaming *st)
{
	http_server_stop(st->server, 0);
}

static void forget_old(struct streaming *st)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct { str *v; size_t n; } old = { 0 };
	int64_t t = clock_mono(NULL);
	for (struct map_slot *s = NULL; (s = map_each(&st->tickets, s));)
		if (((struct ticket *)s->value)->until < t)
			*LIST_ADD(a, &old) = arena_dup(a, s->key);
	for (size_t i = 0; i < old.n; i++)
		ticket_free(map_del(&st->tickets, old.v[i]));
}

bool streaming_exec_url(struct runtime *rt, struct arena *a, const struct cri_v1_ExecRequest *req, str *url, struct error *err)
{
	struct streaming *st = rt->streaming;
	struct container *c = container_get(rt, req->container_id, err);
	if (!c)
		return false;
	lock(rt);
	bool running = c->state == cri_v1_ContainerState_CONTAINER_RUNNING;
	unlock(rt);
	container_put(rt, c);
	if (!running)
		return rpc_error(err, GRPC_UNKNOWN, "container is not running");
	if (req->cmd.n == 0)
		return rpc_error(err, GRPC_INVALID_ARGUMENT, "no command to execute");
	if (req->tty && req->stderr)
		return rpc_error(err, GRPC_INVALID_ARGUMENT, "tty and stderr cannot both be true");
	if (!req->stdin && !req->stdout && !req->stderr)
		return rpc_error(err, GRPC_INVALID_ARGUMENT, "one of stdin, stdout, or stderr must be set");
	struct ticket *t = HEAP_NEW(struct ticket);
	t->arena = arena_new(1024);
	t->req = schema_clone(t->arena, cri_v1_ExecRequest_desc, req);
	t->until = clock_mono(NULL) + TOKEN_LIFE_S * NS_PER_SEC;
	unsigned char secret[24];
	rng_fill(NULL, secret, sizeof(secret));
	str token = base64url_encode(a, str_n((char *)secret, sizeof(secret)));
	pthread_mutex_lock(&st->lock);
	forget_old(st);
	bool room = st->tickets.n < TOKENS_MAX;
	if (room)
		map_put(&st->tickets, token, t);
	pthread_mutex_unlock(&st->lock);
	if (!room) {
		ticket_free(t);
		return rpc_error(err, GRPC_RESOURCE_EXHAUSTED, "maximum number of in-flight requests exceeded");
	}
	*url = arena_printf(a, "http://%s:%d/exec/" STR_FMT, rt->opts.streaming_address, http_server_port(st->server), STR_ARG(token));
	return true;
}
