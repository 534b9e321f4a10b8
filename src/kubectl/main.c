#include "kubectl/kubectl.h"

#include <signal.h>
#include <stdlib.h>

#include "kubectl/cmd.h"

#define OUTPUT FLAG_TEXT("output", 'o', "")
#define MANAGED FLAG_BOOL("show-managed-fields", 0)
#define DRY_RUN \
	{ \
		.name = "dry-run", .value = "none", .bare = "unchanged" \
	}
#define FIELD_MANAGER(name_) FLAG_TEXT("field-manager", 0, name_)
#define VALIDATE \
	{ \
		.name = "validate", .value = "strict", .bare = "strict" \
	}

static const struct flag get_flags[] = {
	OUTPUT,
	MANAGED,
	FLAGS_FILES,
	FLAGS_SELECT,
	FLAG_BOOL("watch", 'w'),
	FLAG_BOOL("watch-only", 0),
	FLAG_BOOL("output-watch-events", 0),
	FLAG_BOOL("show-labels", 0),
	FLAG_LIST("label-columns", 'L'),
	FLAG_BOOL("no-headers", 0),
	FLAG_BOOL("ignore-not-found", 0),
	FLAG_BOOL("show-kind", 0),
	FLAG_TEXT("sort-by", 0, ""),
	FLAG_TEXT("raw", 0, ""),
	FLAG_TEXT("chunk-size", 0, "500"),
};
static const struct flag describe_flags[] = { FLAGS_FILES, FLAGS_SELECT, FLAG_TRUE("show-events"),
	                                      FLAG_TEXT("chunk-size", 0, "500") };
static const struct flag create_flags[] = {
	OUTPUT,
	MANAGED,
	FLAGS_FILES,
	FLAG_TEXT("selector", 'l', ""),
	DRY_RUN,
	VALIDATE,
	FIELD_MANAGER("kubectl-create"),
	FLAG_BOOL("save-config", 0),
};
static const struct flag create_object_flags[] = {
	OUTPUT,
	MANAGED,
	DRY_RUN,
	VALIDATE,
	FIELD_MANAGER("kubectl-create"),
	FLAG_LIST("image", 0),
	FLAG_TEXT("replicas", 'r', "1"),
	FLAG_TEXT("port", 0, "-1"),
	FLAG_LIST("from-literal", 0),
	FLAG_LIST("from-file", 0),
	FLAG_TEXT("type", 0, ""),
	FLAG_LIST("tcp", 0),
};
static const struct flag apply_flags[] = {
	OUTPUT,
	MANAGED,
	FLAGS_FILES,
	FLAG_TEXT("selector", 'l', ""),
	DRY_RUN,
	VALIDATE,
	FIELD_MANAGER("kubectl-client-side-apply"),
	FLAG_BOOL("server-side", 0),
	FLAG_BOOL("force-conflicts", 0),
	FLAG_BOOL("prune", 0),
	FLAG_TRUE("overwrite"),
	FLAG_BOOL("force", 0),
};
static const struct flag delete_flags[] = {
	OUTPUT,
	FLAGS_FILES,
	FLAGS_SELECT,
	FLAG_BOOL("all", 0),
	FLAG_TEXT("grace-period", 0, "-1"),
	FLAG_BOOL("force", 0),
	FLAG_BOOL("now", 0),
	FLAG_TRUE("wait"),
	FLAG_TEXT("timeout", 0, "0s"),
	{ .name = "cascade", .value = "background", .bare = "background" },
	FLAG_BOOL("ignore-not-found", 0),
	DRY_RUN,
};
static const struct flag logs_flags[] = {
	FLAG_BOOL("follow", 'f'),
	FLAG_BOOL("previous", 'p'),
	FLAG_TEXT("container", 'c', ""),
	FLAG_TEXT("tail", 0, "-1"),
	FLAG_TEXT("since", 0, "0s"),
	FLAG_TEXT("since-time", 0, ""),
	FLAG_BOOL("timestamps", 0),
	FLAG_TEXT("limit-bytes", 0, "0"),
	FLAG_BOOL("all-containers", 0),
	FLAG_TEXT("selector", 'l', ""),
	FLAG_BOOL("prefix", 0),
	FLAG_BOOL("ignore-errors", 0),
	FLAG_TEXT("pod-running-timeout", 0, "20s"),
};
static const struct flag exec_flags[] = {
	FLAG_BOOL("stdin", 'i'),
	FLAG_BOOL("tty", 't'),
	FLAG_TEXT("container", 'c', ""),
	FLAG_BOOL("quiet", 'q'),
	FLAG_TEXT("pod-running-timeout", 0, "1m0s"),
};
static const struct flag scale_flags[] = {
	OUTPUT,
	MANAGED,
	FLAGS_FILES,
	FLAG_TEXT("selector", 'l', ""),
	FLAG_BOOL("all", 0),
	FLAG_TEXT("replicas", 0, "0"),
	FLAG_TEXT("current-replicas", 0, "-1"),
	FLAG_TEXT("resource-version", 0, ""),
	FLAG_TEXT("timeout", 0, "0s"),
	DRY_RUN,
};
static const struct flag rollout_flags[] = {
	OUTPUT,
	MANAGED,
	FLAGS_FILES,
	FLAG_TEXT("selector", 'l', ""),
	{ .name = "watch", .letter = 'w', .value = "true", .bare = "true" },
	FLAG_TEXT("revision", 0, "0"),
	FLAG_TEXT("to-revision", 0, "0"),
	FLAG_TEXT("timeout", 0, "0s"),
	DRY_RUN,
	FIELD_MANAGER("kubectl-rollout"),
};
#define CHANGE_FLAGS(manager) \
	OUTPUT, MANAGED, FLAGS_FILES, FLAGS_SELECT, FLAG_BOOL("all", 0), FLAG_BOOL("overwrite", 0), \
	        FLAG_BOOL("list", 0), FLAG_TEXT("resource-version", 0, ""), DRY_RUN, FIELD_MANAGER(manager)
static const struct flag label_flags[] = { CHANGE_FLAGS("kubectl-label") };
static const struct flag annotate_flags[] = { CHANGE_FLAGS("kubectl-annotate") };
static const struct flag set_flags[] = { CHANGE_FLAGS("kubectl-set") };
static const struct flag patch_flags[] = {
	OUTPUT,
	MANAGED,
	FLAGS_FILES,
	FLAG_TEXT("patch", 'p', ""),
	FLAG_TEXT("patch-file", 0, ""),
	FLAG_TEXT("type", 0, "strategic"),
	FLAG_TEXT("subresource", 0, ""),
	DRY_RUN,
	FIELD_MANAGER("kubectl-patch"),
};
static const struct flag wait_flags[] = {
	OUTPUT,
	MANAGED,
	FLAGS_FILES,
	FLAGS_SELECT,
	FLAG_BOOL("all", 0),
	FLAG_LIST("for", 0),
	FLAG_TEXT("timeout", 0, "30s"),
};
static const struct flag version_flags[] = { OUTPUT, FLAG_BOOL("client", 0) };
static const struct flag resources_flags[] = {
	OUTPUT,
	FLAG_TEXT("api-group", 0, ""),
	FLAG_TEXT("namespaced", 0, ""),
	FLAG_LIST("verbs", 0),
	FLAG_BOOL("no-headers", 0),
	FLAG_TEXT("sort-by", 0, ""),
	FLAG_BOOL("cached", 0),
	FLAG_LIST("categories", 0),
};
static const struct flag config_flags[] = { OUTPUT, FLAG_BOOL("raw", 0), FLAG_BOOL("minify", 0),
	                                    FLAG_BOOL("flatten", 0), FLAG_BOOL("no-headers", 0) };

static const struct command create_commands[] = {
	{ .name = "namespace",
	  .alias = "ns",
	  .usage = "NAME",
	  .about = "Create a namespace",
	  .run = run_create_object,
	  COMMAND_FLAGS(create_object_flags) },
	{ .name = "deployment",
	  .alias = "deploy",
	  .usage = "NAME --image=image",
	  .about = "Create a deployment",
	  .run = run_create_object,
	  COMMAND_FLAGS(create_object_flags) },
	{ .name = "configmap",
	  .alias = "cm",
	  .usage = "NAME [--from-literal=key=value] [--from-file=[key=]file]",
	  .about = "Create a config map",
	  .run = run_create_object,
	  COMMAND_FLAGS(create_object_flags) },
	{ .name = "secret",
	  .usage = "generic NAME [--from-literal=key=value] [--from-file=[key=]file]",
	  .about = "Create a secret",
	  .run = run_create_object,
	  COMMAND_FLAGS(create_object_flags) },
	{ .name = "serviceaccount",
	  .alias = "sa",
	  .usage = "NAME",
	  .about = "Create a service account",
	  .run = run_create_object,
	  COMMAND_FLAGS(create_object_flags) },
};
static const struct command rollout_commands[] = {
	{ .name = "status",
	  .usage = "(TYPE NAME | TYPE/NAME)",
	  .about = "Show the status of the rollout",
	  .run = run_rollout_status,
	  COMMAND_FLAGS(rollout_flags) },
	{ .name = "history",
	  .usage = "(TYPE NAME | TYPE/NAME)",
	  .about = "View rollout history",
	  .run = run_rollout_history,
	  COMMAND_FLAGS(rollout_flags) },
	{ .name = "undo",
	  .usage = "(TYPE NAME | TYPE/NAME)",
	  .about = "Undo a previous rollout",
	  .run = run_rollout_undo,
	  COMMAND_FLAGS(rollout_flags) },
	{ .name = "restart",
	  .usage = "RESOURCE",
	  .about = "Restart a resource",
	  .run = run_rollout_restart,
	  COMMAND_FLAGS(rollout_flags) },
	{ .name = "pause",
	  .usage = "RESOURCE",
	  .about = "Mark the provided resource as paused",
	  .run = run_rollout_pause,
	  COMMAND_FLAGS(rollout_flags) },
	{ .name = "resume",
	  .usage = "RESOURCE",
	  .about = "Resume a paused resource",
	  .run = run_rollout_resume,
	  COMMAND_FLAGS(rollout_flags) },
};
static const struct command set_commands[] = {
	{ .name = "image",
	  .usage = "(-f FILENAME | TYPE NAME) CONTAINER=IMAGE ...",
	  .about = "Update the image of a pod template",
	  .run = run_set_image,
	  COMMAND_FLAGS(set_flags) },
};
static const struct command config_commands[] = {
	{ .name = "view",
	  .usage = "",
	  .about = "Display merged kubeconfig settings",
	  .run = run_config_view,
	  COMMAND_FLAGS(config_flags),
	  .offline = true },
	{ .name = "current-context",
	  .usage = "",
	  .about = "Display the current-context",
	  .run = run_config_current,
	  COMMAND_FLAGS(config_flags),
	  .offline = true },
	{ .name = "get-contexts",
	  .usage = "",
	  .about = "Describe contexts",
	  .run = run_config_contexts,
	  COMMAND_FLAGS(config_flags),
	  .offline = true },
};
#define SUB(array) .sub = (array), .nsub = ARRAY_LEN(array)
static const struct command commands[] = {
	{ .name = "create",
	  .usage = "-f FILENAME",
	  .about = "Create a resource from a file or from stdin",
	  .run = run_create,
	  COMMAND_FLAGS(create_flags),
	  SUB(create_commands) },
	{ .name = "apply",
	  .usage = "-f FILENAME",
	  .about = "Apply a configuration to a resource by file name or stdin",
	  .run = run_apply,
	  COMMAND_FLAGS(apply_flags) },
	{ .name = "get",
	  .usage = "(TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME ...)",
	  .about = "Display one or many resources",
	  .run = run_get,
	  COMMAND_FLAGS(get_flags) },
	{ .name = "describe",
	  .usage = "(-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME)",
	  .about = "Show details of a specific resource or group of resources",
	  .run = run_describe,
	  COMMAND_FLAGS(describe_flags) },
	{ .name = "delete",
	  .usage = "([-f FILENAME] | TYPE [(NAME | -l label | --all)])",
	  .about = "Delete resources by file names, stdin, resources and names, or by resources and label selector",
	  .run = run_delete,
	  COMMAND_FLAGS(delete_flags) },
	{ .name = "logs",
	  .alias = "log",
	  .usage = "[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]",
	  .about = "Print the logs for a container in a pod",
	  .run = run_logs,
	  COMMAND_FLAGS(logs_flags) },
	{ .name = "exec",
	  .usage = "(POD | TYPE/NAME) [-c CONTAINER] -- COMMAND [args...]",
	  .about = "Execute a command in a container",
	  .run = run_exec,
	  COMMAND_FLAGS(exec_flags) },
	{ .name = "scale",
	  .usage = "--replicas=COUNT (-f FILENAME | TYPE NAME)",
	  .about = "Set a new size for a deployment, replica set, or replication controller",
	  .run = run_scale,
	  COMMAND_FLAGS(scale_flags) },
	{ .name = "rollout",
	  .usage = "SUBCOMMAND",
	  .about = "Manage the rollout of a resource",
	  SUB(rollout_commands) },
	{ .name = "set", .usage = "SUBCOMMAND", .about = "Set specific features on objects", SUB(set_commands) },
	{ .name = "label",
	  .usage = "(-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N",
	  .about = "Update the labels on a resource",
	  .run = run_label,
	  COMMAND_FLAGS(label_flags) },
	{ .name = "annotate",
	  .usage = "(-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N",
	  .about = "Update the annotations on a resource",
	  .run = run_annotate,
	  COMMAND_FLAGS(annotate_flags) },
	{ .name = "patch",
	  .usage = "(-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE]",
	  .about = "Update fields of a resource",
	  .run = run_patch,
	  COMMAND_FLAGS(patch_flags) },
	{ .name = "wait",
	  .usage = "([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) --for=...",
	  .about = "Wait for a specific condition on one or many resources",
	  .run = run_wait,
	  COMMAND_FLAGS(wait_flags) },
	{ .name = "api-resources",
	  .usage = "",
	  .about = "Print the supported API resources on the server",
	  .run = run_api_resources,
	  COMMAND_FLAGS(resources_flags) },
	{ .name = "api-versions",
	  .usage = "",
	  .about = "Print the supported API versions on the server, in the form of \"group/version\"",
	  .run = run_api_versions },
	{ .name = "cluster-info", .usage = "", .about = "Display cluster information", .run = run_cluster_info },
	{ .name = "config", .usage = "SUBCOMMAND", .about = "Look at kubeconfig files", SUB(config_commands) },
	{ .name = "version",
	  .usage = "",
	  .about = "Print the client and server version information",
	  .run = run_version,
	  COMMAND_FLAGS(version_flags),
	  .offline = true },
};

void kc_warn(struct kctl *k, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	fflush(stdout);
	fputs("Warning: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

// "The Pod "x" is invalid: " and the causes; several on lines of their own.
static void print_invalid(struct kctl *k)
{
	const struct value *details = value_get(k->status, S("details")), *causes = value_get(details, S("causes"));
	str kind = value_get_str(details, S("kind")), name = value_get_str(details, S("name")),
	    message = value_get_str(k->status, S("message"));
	size_t n = value_is(causes, V_ARRAY) ? causes->a.n : 0;
	str head = S("The request is invalid");
	if (!details)
		head = arena_concat(k->a, head, message.n ? S(": ") : S(""), message);
	else if (kind.n || name.n)
		head = arena_printf(k->a, "The " STR_FMT " " STR_FMT " is invalid", STR_ARG(kind),
		                    STR_ARG(kc_quoted(k->a, name)));
	else if (message.n && n == 0)
		head = arena_concat(k->a, head, S(": "), message);
	struct str_list texts = { 0 };
	for (size_t i = 0; i < n; i++) {
		str text = arena_concat(k->a, value_get_str(causes->a.v[i], S("field")), S(": "),
		                        value_get_str(causes->a.v[i], S("message")));
		bool seen = false;
		for (size_t j = 0; j < texts.n; j++)
			seen = seen || str_eq(texts.v[j], text);
		if (!seen)
			*LIST_ADD(k->a, &texts) = text;
	}
	if (texts.n == 0)
		fprintf(stderr, STR_FMT "\n", STR_ARG(head));
	else if (texts.n == 1)
		fprintf(stderr, STR_FMT ": " STR_FMT "\n", STR_ARG(head), STR_ARG(texts.v[0]));
	else
		fprintf(stderr, STR_FMT ": \n", STR_ARG(head));
	for (size_t i = 0; texts.n > 1 && i < texts.n; i++)
		fprintf(stderr, "* " STR_FMT "\n", STR_ARG(texts.v[i]));
}

void kc_report(struct kctl *k, const struct error *err)
{
	fflush(stdout);
	k->failed = true;
	if (err->text[0] == 0)
		return;
	if (kc_from_server(err) && error_is(err, "Invalid") && k->status)
		print_invalid(k);
	else if (kc_from_server(err) && error_is(err, "Unauthorized"))
		fprintf(stderr, "error: You must be logged in to the server (%s)\n", err->text);
	else if (kc_from_server(err) && err->reason && err->reason[0])
		fprintf(stderr, "Error from server (%s): %s\n", err->reason, err->text);
	else if (kc_from_server(err))
		fprintf(stderr, "Error from server: %s\n", err->text);
	else
		fprintf(stderr, "%s%s\n",
		        error_is(err, "Connection") || str_has_prefix(error_str(err), S("error: ")) ? "" : "error: ",
		        err->text);
}

static void print_commands(const struct command *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		printf("  %-16s%s\n", v[i].name, v[i].about);
}

static void print_flags(const struct flag *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char letter[8] = "    ";
		if (v[i].letter)
			snprintf(letter, sizeof(letter), "-%c, ", v[i].letter);
		printf("    %s--%s=%s%s%s\n", letter, v[i].name,
		       v[i].list   ? "["
		       : v[i].bare ? ""
		                   : "'",
		       v[i].value,
		       v[i].list   ? "]"
		       : v[i].bare ? ""
		                   : "'");
	}
}

static void print_help(struct kctl *k)
{
	const struct command *c = k->cmd;
	if (!c) {
		printf("%s controls the Kubernetes cluster manager.\n\nCommands:\n", k->program);
		print_commands(commands, ARRAY_LEN(commands));
		printf("\nUsage:\n  %s [flags] [options]\n", k->program);
		return;
	}
	printf("%s.\n", c->about);
	if (c->nsub) {
		printf("\nAvailable Commands:\n");
		print_commands(c->sub, c->nsub);
	}
	if (c->nflags) {
		printf("\nOptions:\n");
		print_flags(c->flags, c->nflags);
	}
	printf("\nUsage:\n  %s " STR_FMT " %s [options]\n", k->program, STR_ARG(k->command), c->usage);
}

static const struct command *find_command(const struct command *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0 || (v[i].alias && strcmp(v[i].alias, name) == 0))
			return &v[i];
	return NULL;
}

// The index of the next argument that is no flag. Global flags may stand before the command.
static int next_word(int argc, char **argv, int at)
{
	for (; at < argc; at++) {
		if (argv[at][0] != '-' || argv[at][1] == 0)
			return at;
		const char *name = argv[at];
		bool takes_next = false;
		for (size_t i = 0; i < global_flags_n; i++) {
			const struct flag *f = &global_flags[i];
			bool same = name[1] == '-' ? strcmp(name + 2, f->name) == 0
			                           : f->letter && name[1] == f->letter && name[2] == 0;
			takes_next = takes_next || (same && !f->bare);
		}
		at += takes_next;
	}
	return argc;
}

static bool run(struct kctl *k, int argc, char **argv, struct error *err)
{
	// The command and perhaps the one below it are taken out; what is left are flags and arguments.
	int at = next_word(argc, argv, 1);
	const char *word = at < argc ? argv[at] : NULL;
	bool help = false;
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
		help = help || strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
	if (!word || (strcmp(word, "help") == 0 && argc == at + 1)) {
		print_help(k);
		return true;
	}
	k->cmd = find_command(commands, ARRAY_LEN(commands), word);
	if (!k->cmd)
		return error_set(err, "unknown command \"%s\" for \"%s\"", word, k->program);
	k->command = str_c(k->cmd->name);
	memmove(&argv[at], &argv[at + 1], (size_t)(argc - at) * sizeof(*argv));
	argc--;
	if (k->cmd->nsub) {
		int below = next_word(argc, argv, 1);
		const struct command *sub = below < argc ? find_command(k->cmd->sub, k->cmd->nsub, argv[below]) : NULL;
		if (sub) {
			k->command = arena_printf(k->a, "%s %s", k->cmd->name, sub->name);
			k->cmd = sub;
			memmove(&argv[below], &argv[below + 1], (size_t)(argc - below) * sizeof(*argv));
			argc--;
		} else if (!k->cmd->run) {
			if (below < argc && !help)
				return error_set(err, "unknown command \"%s " STR_FMT " %s\"", k->program,
				                 STR_ARG(k->command), argv[below]);
			help = true;
		}
	}
	if (help) {
		print_help(k);
		return true;
	}
	if (!flags_parse(k, argc - 1, argv + 1, err))
		return false;
	if (!k->cmd->offline && (!config_load(k, err) || !config_connect(k, err)))
		return false;
	return k->cmd->run(k, err);
}

int kubectl_main(int argc, char **argv)
{
	_cleanup_arena_ struct arena *a = arena_new(65536);
	struct kctl k = { .a = a, .program = "kubectl" };
	struct error err = { 0 };
	signal(SIGPIPE, SIG_IGN);
	// The vector is shortened as commands are taken out of it.
	char **args = ARENA_ARRAY(a, char *, (size_t)argc + 1);
	for (int i = 0; i < argc; i++)
		args[i] = argv[i];
	if (!run(&k, argc, args, &err))
		kc_report(&k, &err);
	http_client_free(k.http);
	if (fflush(stdout) != 0 && !k.failed)
		k.failed = true;
	return k.exit_code ? k.exit_code : k.failed ? 1 : 0;
}
