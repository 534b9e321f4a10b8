#include <dirent.h>

#include "schema/gotime.h"
#include "schema/intstr.h"
#include "schema/test_util.h"
#include "schema_gen.h"

static str quoted(struct arena *a, const char *text)
{
	str s = arena_dup(a, str_c(text));
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '\'')
			((char *)s.p)[i] = '"';
	return s;
}

static str encode(struct arena *a, const struct message_desc *m, const void *obj)
{
	_cleanup_buf_ struct buf b = { 0 };
	schema_to_json(&b, m, obj);
	return arena_dup(a, buf_str(&b));
}

static void test_lookups(void **state)
{
	(void)state;
	assert_ptr_equal(schema_message(S("k8s.io.api.core.v1.Pod")), core_v1_Pod_desc);
	assert_ptr_equal(schema_message(S("k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta")), meta_v1_ObjectMeta_desc);
	assert_ptr_equal(schema_message(S("runtime.v1.ContainerConfig")), cri_v1_ContainerConfig_desc);
	assert_null(schema_message(S("k8s.io.api.core.v1.Nope")));
	assert_null(schema_message(S("")));
	for (uint32_t i = 0; schema_message_at(i); i++) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		const struct message_desc *m = schema_message_at(i);
		assert_ptr_equal(schema_message(arena_concat(a, schema_text(m->package), S("."), schema_text(m->name))),
		                 m);
		for (size_t k = 0; k < m->n; k++)
			if (!(schema_field(m, k)->flags & FF_INLINE))
				assert_ptr_equal(schema_field_named(m, schema_text(schema_field(m, k)->json_name)),
				                 schema_field(m, k));
	}
	const struct field_desc *f = schema_field_named(core_v1_Volume_desc, S("configMap"));
	assert_non_null(f);
	assert_ptr_equal(schema_field_message(f), core_v1_ConfigMapVolumeSource_desc);
	assert_null(schema_field_named(core_v1_Volume_desc, S("volumeSource")));
	f = schema_field_named(core_v1_PodSpec_desc, S("topologySpreadConstraints"));
	assert_text(schema_text(f->list_keys), "topologyKey,whenUnsatisfiable");
	assert_text(schema_text(f->merge_key), "topologyKey");

	const struct resource_desc *r = schema_resource(S(""), S("v1"), S("pods"));
	assert_non_null(r);
	assert_true(r->namespaced);
	assert_ptr_equal(schema_message_at(r->message), core_v1_Pod_desc);
	assert_ptr_equal(schema_message_at(r->list_message), core_v1_PodList_desc);
	assert_text(schema_text(r->short_names), "po");
	assert_text(schema_text(schema_column(r, 0)->name), "Name");
	assert_ptr_equal(schema_resource_of_kind(S(""), S("v1"), S("Pod")), r);
	r = schema_resource(S("apps"), S("v1"), S("deployments/scale"));
	assert_ptr_equal(schema_message_at(r->message), autoscaling_v1_Scale_desc);
	assert_null(schema_resource(S("apps"), S("v2"), S("deployments")));
	assert_text(schema_text(schema_group_at(0)->version), "v1");
	assert_int_equal(schema_resource_count(), 113);

	assert_ptr_equal(schema_kind(S("apps"), S("v1"), S("DeploymentList")), apps_v1_DeploymentList_desc);
	assert_ptr_equal(schema_kind(S("apps"), S("v1"), S("DeleteOptions")), meta_v1_DeleteOptions_desc);
	assert_ptr_equal(schema_kind(S(""), S("v1"), S("Status")), meta_v1_Status_desc);
	assert_null(schema_kind(S("apps"), S("v1"), S("Status")));
	assert_null(schema_kind(S("apps"), S("v1"), S("DeploymentSpec")));

	const struct method_desc *m = schema_method(S("/runtime.v1.RuntimeService/RunPodSandbox"));
	assert_non_null(m);
	assert_ptr_equal(schema_message_at(m->request), cri_v1_RunPodSandboxRequest_desc);
	assert_int_equal(m->flags, 0);
	m = schema_method(S(etcdserverpb_Watch_Watch_path));
	assert_int_equal(m->flags, METHOD_CLIENT_STREAM | METHOD_SERVER_STREAM);
	assert_null(schema_method(S("/x/y")));
	assert_int_equal(cri_v1_ContainerState_CONTAINER_EXITED, 2);
	assert_true(str_has_prefix(schema_bootstrap(S("clusterroles")), S("[{")));
	assert_int_equal(schema_bootstrap(S("nosuch")).n, 0);
}

static void test_struct(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	str json = quoted(a, "{'kind':'Pod','apiVersion':'v1','metadata':{'name':'p','labels':{'b':'2','a':'1'},'"
	                     "creationTimestamp':'2024-02-29T12:00:00Z'},"
	                     "'spec':{'containers':[{'name':'c','image':'i\\u00e9\\n','ports':[{'containerPort':80}],'"
	                     "resources':{'limits':{'cpu':'1000m','memory':1024}},"
	                     "'livenessProbe':{'httpGet':{'port':'http'},'tcpSocket':{'port':8080}}}],'volumes':[{'"
	                     "name':'v','configMap':{'name':'cm','defaultMode':420}}],"
	                     "'terminationGracePeriodSeconds':0,'nodeSelector':{},'tolerations':[]}}");
	struct core_v1_Pod *pod = schema_from_json(a, core_v1_Pod_desc, json, NULL, &err);
	if (!pod)
		fail_msg("%s", err.text);
	assert_text(pod->kind, "Pod");
	assert_int_equal(pod->metadata.labels.n, 2);
	assert_text(pod->metadata.labels.v[0].key, "a"); // sorted
	assert_text(str_map_get(&pod->metadata.labels, S("b")), "2");
	assert_true(pod->metadata.creationTimestamp.set);
	assert_int_equal(pod->metadata.creationTimestamp.sec, 1709208000);
	assert_text(pod->spec.containers.v[0].image, "i\xc3\xa9\n");
	assert_int_equal(pod->spec.containers.v[0].ports.v[0].containerPort, 80);
	assert_text(pod->spec.containers.v[0].resources.limits.v[0].value.s, "1");
	assert_text(pod->spec.containers.v[0].resources.limits.v[1].value.s, "1024");
	assert_true(pod->spec.containers.v[0].livenessProbe->handler.httpGet->port.is_string);
	assert_int_equal(pod->spec.containers.v[0].livenessProbe->handler.tcpSocket->port.i, 8080);
	assert_text(pod->spec.volumes.v[0].volumeSource.configMap->localObjectReference.name, "cm");
	assert_int_equal(*pod->spec.terminationGracePeriodSeconds, 0);
	assert_null(pod->spec.activeDeadlineSeconds);
	assert_non_null(pod->spec.nodeSelector.v); // empty, not nil
	assert_non_null(pod->spec.tolerations.v);
	assert_null(pod->spec.initContainers.v);
	assert_text(encode(a, core_v1_Pod_desc, pod),
	            "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\",\"creationTimestamp\":\"2024-"
	            "02-29T12:00:00Z\",\"labels\":{\"a\":\"1\",\"b\":\"2\"}},"
	            "\"spec\":{\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"cm\",\"defaultMode\":420}}],"
	            "\"containers\":[{\"name\":\"c\",\"image\":\"i\xc3\xa9\\n\","
	            "\"ports\":[{\"containerPort\":80}],\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1024\"}},"
	            "\"livenessProbe\":{\"httpGet\":{\"port\":\"http\"},\"tcpSocket\":{\"port\":8080}}}],"
	            "\"terminationGracePeriodSeconds\":0},\"status\":{}}");
	struct core_v1_Pod *copy = schema_clone(a, core_v1_Pod_desc, pod);
	assert_true(schema_equal(core_v1_Pod_desc, pod, copy));
	copy->spec.containers.v[0].ports.v[0].containerPort = 81;
	assert_false(schema_equal(core_v1_Pod_desc, pod, copy));
	assert_int_equal(pod->spec.containers.v[0].ports.v[0].containerPort, 80);
	*LIST_ADD(a, &copy->spec.containers) = (struct core_v1_Container){ .name = S("two") };
	assert_int_equal(copy->spec.containers.n, 2);
	// Quantities are equal by value; nil and empty lists are equal.
	struct core_v1_Pod *other = schema_clone(a, core_v1_Pod_desc, pod);
	other->spec.containers.v[0].resources.limits.v[1].value.s = S("1Ki");
	other->spec.tolerations = (struct core_v1_Toleration_list){ 0 };
	assert_true(schema_equal(core_v1_Pod_desc, pod, other));
	assert_true(schema_is_zero(core_v1_Pod_desc, schema_new(a, core_v1_Pod_desc)));
	assert_false(schema_is_zero(core_v1_Pod_desc, pod));
	// An empty object: what is always written.
	assert_text(encode(a, core_v1_Pod_desc, schema_new(a, core_v1_Pod_desc)),
	            "{\"metadata\":{},\"spec\":{\"containers\":null},\"status\":{}}");
	assert_text(encode(a, core_v1_Event_desc, schema_new(a, core_v1_Event_desc)),
	            "{\"metadata\":{},\"involvedObject\":{},\"source\":{},\"firstTimestamp\":null,\"lastTimestamp\":"
	            "null,\"eventTime\":null,\"reportingComponent\":\"\",\"reportingInstance\":\"\"}");
}

static void wrong(const struct message_desc *m, const char *json, const char *want)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	if (schema_from_json(a, m, quoted(a, json), NULL, &err))
		fail_msg("%s: accepted", json);
	assert_text(error_str(&err), want);
	assert_int_equal(err.code, 400);
	assert_string_equal(err.reason, "BadRequest");
}

static void test_errors(void **state)
{
	(void)state;
	wrong(core_v1_Pod_desc, "[]", "json: cannot unmarshal array into Go value of type v1.Pod");
	wrong(core_v1_Pod_desc, "{'spec':{'containers':'x'}}",
	      "json: cannot unmarshal string into Go struct field PodSpec.spec.containers of type []v1.Container");
	wrong(core_v1_Pod_desc, "{'spec':{'containers':[{'image':5}]}}",
	      "json: cannot unmarshal number into Go struct field Container.spec.containers.image of type string");
	wrong(core_v1_Pod_desc, "{'spec':{'containers':[{'ports':[{'hostPort':1.5}]}]}}",
	      "json: cannot unmarshal number 1.5 into Go struct field ContainerPort.spec.containers.ports.hostPort of "
	      "type int32");
	wrong(core_v1_Pod_desc, "{'spec':{'containers':[{'ports':[{'hostPort':3000000000}]}]}}",
	      "json: cannot unmarshal number 3000000000 into Go struct field "
	      "ContainerPort.spec.containers.ports.hostPort of type int32");
	wrong(core_v1_Pod_desc, "{'spec':{'restartPolicy':true}}",
	      "json: cannot unmarshal bool into Go struct field PodSpec.spec.restartPolicy of type v1.RestartPolicy");
	wrong(core_v1_Pod_desc, "{'spec':{'volumes':[{'configMap':[]}]}}",
	      "json: cannot unmarshal array into Go struct field Volume.spec.volumes.configMap of type "
	      "v1.ConfigMapVolumeSource");
	wrong(core_v1_Pod_desc, "{'spec':{'containers':[{'resources':{'limits':[]}}]}}",
	      "json: cannot unmarshal array into Go struct field ResourceRequirements.spec.containers.resources.limits "
	      "of type v1.ResourceList");
	wrong(core_v1_Pod_desc, "{'spec':{'containers':[{'resources':{'limits':{'cpu':'x'}}}]}}",
	      "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
	wrong(core_v1_Pod_desc, "{'spec':{'containers':[{'livenessProbe':{'httpGet':{'port':true}}}]}}",
	      "json: cannot unmarshal bool into Go struct field "
	      "HTTPGetAction.spec.containers.livenessProbe.httpGet.port of type int32");
	wrong(core_v1_Secret_desc, "{'data':{'a':'%%'}}", "illegal base64 data at input byte 0");
	wrong(core_v1_Secret_desc, "{'data':{'a':'YQ'}}", "illegal base64 data at input byte 0");
	wrong(core_v1_Secret_desc, "{'data':{'a':'YWI=x'}}", "illegal base64 data at input byte 4");
	wrong(core_v1_ConfigMap_desc, "{'metadata':{'creationTimestamp':5}}",
	      "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type "
	      "string");
	// The first error of a kind that lets decoding go on counts; one that does not comes before it.
	wrong(core_v1_ConfigMap_desc, "{'immutable':1,'data':2}",
	      "json: cannot unmarshal number into Go struct field ConfigMap.immutable of type bool");
	wrong(core_v1_ConfigMap_desc, "{'immutable':1,'metadata':{'creationTimestamp':'x'}}",
	      "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"");
	// A syntax error anywhere comes before anything else.
	wrong(core_v1_ConfigMap_desc, "{'immutable':1,'data':{}", "unexpected end of JSON input");
	wrong(core_v1_ConfigMap_desc, "{'data':{},}",
	      "invalid character '}' looking for beginning of object key string");
	wrong(core_v1_ConfigMap_desc, "", "unexpected end of JSON input");
	wrong(core_v1_ConfigMap_desc, "{} x", "invalid character 'x' after top-level value");
	wrong(apiextensions_v1_JSONSchemaProps_desc, "{'additionalProperties':5}", "boolean or JSON schema expected");
	wrong(apiextensions_v1_JSONSchemaProps_desc, "{'items':{'maxLength':'x'}}",
	      "json: cannot unmarshal string into Go struct field JSONSchemaProps.items of type int64");
}

static void test_nulls(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct core_v1_Pod *p = schema_from_json(
	        a, core_v1_Pod_desc,
	        quoted(a, "{'metadata':null,'spec':{'containers':null,'replicas':null,'hostNetwork':null,'"
	                  "securityContext':null,'overhead':null,'priority':null},'status':null}"),
	        NULL, &err);
	assert_non_null(p);
	assert_true(schema_is_zero(core_v1_Pod_desc, p));
	assert_non_null(schema_from_json(a, core_v1_Pod_desc, S(" null "), NULL, &err));
	struct core_v1_Pod *q = schema_from_json(a, core_v1_Pod_desc,
	                                         quoted(a, "{'spec':{'containers':[null,{'name':'x'}]}}"), NULL, &err);
	assert_int_equal(q->spec.containers.n, 2);
	// A member that stands twice adds to a struct, replaces a list.
	q = schema_from_json(
	        a, core_v1_Pod_desc,
	        quoted(a, "{'metadata':{'name':'a','finalizers':['x','y']},'metadata':{'uid':'u','finalizers':['z']}}"),
	        NULL, &err);
	assert_text(q->metadata.name, "a");
	assert_text(q->metadata.uid, "u");
	assert_int_equal(q->metadata.finalizers.n, 1);
}

static void strict(const struct message_desc *m, const char *json, const char *want)
{
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct str_list complaints = { 0 };
	struct decode_opts o = { .strict = &complaints };
	if (!schema_from_json(a, m, quoted(a, json), &o, &err))
		fail_msg("%s: %s", json, err.text);
	str all = S("");
	for (size_t i = 0; i < complaints.n; i++)
		all = arena_concat(a, all, i ? S(", ") : S(""), complaints.v[i]);
	assert_text(all, want);
}

static void test_strict(void **state)
{
	(void)state;
	strict(core_v1_Pod_desc,
	       "{'spec':{'containers':[{'name':'a'},{'imag':1,'name':'b','name':'c'}],'x':{'y':1}},'odd':null}",
	       "unknown field \"spec.containers[1].imag\", duplicate field \"spec.containers[1].name\", unknown field "
	       "\"spec.x\", unknown field \"odd\"");
	strict(core_v1_ConfigMap_desc, "{'data':{'b':'1','a':'1','b':'2','a':'3'},'x':1,'x':2}",
	       "duplicate field \"data.b\", duplicate field \"data.a\", unknown field \"x\"");
	strict(core_v1_ConfigMap_desc, "{'Data':{},'apiversion':'v1'}",
	       "unknown field \"Data\", unknown field \"apiversion\"");
	strict(core_v1_Pod_desc,
	       "{'spec':{'containers':[],'volumes':[{'name':'v','volumeSource':{},'configMap':{'nam':1}}]}}",
	       "unknown field \"spec.volumes[0].volumeSource\", unknown field \"spec.volumes[0].configMap.nam\"");
	// Inside of values that upstream decodes on their own nothing is noticed.
	strict(apiextensions_v1_JSONSchemaProps_desc,
	       "{'properties':{'a':{'bad':1}},'items':{'bad':1},'additionalProperties':{'bad':1}}",
	       "unknown field \"properties.a.bad\"");
}

static void test_schema_or(void **state)
{
	(void)state;
	static const char *const docs[] = { "{\"items\":{\"type\":\"string\"}}",
		                            "{\"items\":[{\"type\":\"string\"},{}]}",
		                            "{\"additionalProperties\":true}",
		                            "{\"additionalProperties\":false}",
		                            "{\"additionalProperties\":{\"type\":\"x\"}}",
		                            "{\"dependencies\":{\"a\":[\"x\",\"y\"],\"b\":{\"type\":\"z\"}}}",
		                            "{\"default\":{\"a\":[1,2.50,\"x\"]},\"enum\":[1,null,\"a\"]}" };
	for (size_t i = 0; i < ARRAY_LEN(docs); i++) {
		_cleanup_arena_ struct arena *a = arena_new(0);
		struct error err = { 0 };
		const struct message_desc *m = apiextensions_v1_JSONSchemaProps_desc;
		void *obj = schema_from_json(a, m, str_c(docs[i]), NULL, &err);
		assert_non_null(obj);
		assert_text(encode(a, m, obj), docs[i]);
		_cleanup_buf_ struct buf b = { 0 };
		schema_to_pb(&b, m, obj);
		void *back = schema_from_pb(a, m, buf_str(&b), &err);
		assert_non_null(back);
		assert_text(encode(a, m, back), docs[i]);
		assert_true(schema_equal(m, obj, back));
		assert_true(schema_equal(m, obj, schema_clone(a, m, obj)));
	}
}

static void test_deep(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	_cleanup_buf_ struct buf b = { 0 };
	struct error err = { 0 };
	for (int i = 0; i < 5000; i++)
		buf_add(&b, S("{\"not\":"));
	buf_add(&b, S("{}"));
	for (int i = 0; i < 5000; i++)
		buf_add_char(&b, '}');
	assert_null(schema_from_json(a, apiextensions_v1_JSONSchemaProps_desc, buf_str(&b), NULL, &err));
	assert_text(error_str(&err), "exceeded max depth");
	// In protobuf: not = 28.
	_cleanup_buf_ struct buf p = { 0 };
	for (int i = 0; i < 200; i++) {
		struct buf inner = p;
		p = (struct buf){ 0 };
		buf_add(&p, str_n("\xe2\x01", 2));
		size_t n = inner.n;
		for (; n >= 128; n >>= 7)
			buf_add_char(&p, (char)(n | 128));
		buf_add_char(&p, (char)n);
		buf_add(&p, buf_str(&inner));
		buf_free(&inner);
	}
	assert_null(schema_from_pb(a, apiextensions_v1_JSONSchemaProps_desc, buf_str(&p), &err));
	assert_text(error_str(&err), "proto: exceeded max depth");
}

static void test_grpc(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct error err = { 0 };
	struct etcdserverpb_Compare c = { .key = S("k"),
		                          .target = etcdserverpb_Compare_CompareTarget_MOD,
		                          .mod_revision = &(int64_t){ 0 } };
	_cleanup_buf_ struct buf b = { 0 };
	schema_to_pb(&b, etcdserverpb_Compare_desc, &c);
	// result EQUAL (0) is left out, a member of a oneof is not
	assert_int_equal(b.n, 7);
	assert_memory_equal(b.p, "\x10\x02\x1a\x01k\x30\x00", 7);
	struct etcdserverpb_Compare *back = schema_from_pb(a, etcdserverpb_Compare_desc, buf_str(&b), &err);
	assert_non_null(back->mod_revision);
	assert_null(back->version);
	// The last member of a oneof wins.
	buf_add(&b, str_n("\x20\x05", 2));
	back = schema_from_pb(a, etcdserverpb_Compare_desc, buf_str(&b), &err);
	assert_null(back->mod_revision);
	assert_int_equal(*back->version, 5);
	// Lists of numbers are packed, and read either way.
	struct csi_v1_NodeGetInfoResponse none = { 0 };
	buf_clear(&b);
	schema_to_pb(&b, csi_v1_NodeGetInfoResponse_desc, &none);
	assert_int_equal(b.n, 0);
	struct cri_v1_ContainerConfig *cfg = schema_new(a, cri_v1_ContainerConfig_desc);
	str_map_set(a, &cfg->labels, S("x"), S(""));
	cfg->linux_ = schema_new(a, cri_v1_LinuxContainerConfig_desc);
	buf_clear(&b);
	schema_to_pb(&b, cri_v1_ContainerConfig_desc, cfg);
	struct cri_v1_ContainerConfig *read = schema_from_pb(a, cri_v1_ContainerConfig_desc, buf_str(&b), &err);
	assert_true(schema_equal(cri_v1_ContainerConfig_desc, cfg, read));
	assert_non_null(read->linux_);
	static const char *const broken[] = {
		"\x0a\x05x", "\x0a", "\x08", "\x80", "\x00\x01", "\x07", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
	};
	for (size_t i = 0; i < ARRAY_LEN(broken); i++)
		assert_null(schema_from_pb(a, cri_v1_ContainerConfig_desc,
		                           str_n(broken[i], i == 4 ? 2 : strlen(broken[i])), &err));
	str av, kind, raw;
	assert_false(schema_unwrap_pb(S("{}"), &av, &kind, &raw, &err));
	assert_text(error_str(&err),
	            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
}

static void test_maps(void **state)
{
	(void)state;
	_cleanup_arena_ struct arena *a = arena_new(0);
	struct str_map m = { 0 };
	str v;
	for (int i = 0; i < 50; i++)
		str_map_set(a, &m, arena_printf(a, "k%d", i * 37 % 50), arena_printf(a, "%d", i));
	assert_int_equal(m.n, 50);
	for (size_t i = 1; i < m.n; i++)
		assert_true(str_cmp(m.v[i - 1].key, m.v[i].key) < 0);
	str_map_set(a, &m, S("k7"), S("new"));
	assert_int_equal(m.n, 50);
	assert_text(str_map_get(&m, S("k7")), "new");
	assert_true(str_map_del(&m, S("k7")));
	assert_false(str_map_del(&m, S("k7")));
	assert_false(str_map_find(&m, S("k7"), &v));
	assert_text(str_map_get(&m, S("k7")), "");
}

static void percent(const char *text, int total, bool up, int64_t want)
{
	struct error err = { 0 };
	int64_t got;
	struct int_or_string v = int_or_string_str(str_c(text));
	assert_true(int_or_percent(&v, total, up, &got, &err));
	assert_int_equal(got, want);
}

static void test_intstr(void **state)
{
	(void)state;
	percent("25%", 10, true, 3);
	percent("25%", 10, false, 2);
	percent("25%", 4, true, 1);
	percent("0%", 4, true, 0);
	percent("100%", 7, false, 7);
	percent("-25%", 10, false, -3);
	percent("-25%", 10, true, -2);
	struct error err = { 0 };
	int64_t got;
	struct int_or_string v = int_or_string_str(S("x%"));
	assert_false(int_or_percent(&v, 1, true, &got, &err));
	assert_text(error_str(&err),
	            "invalid value for IntOrString: invalid value \"x%\": strconv.Atoi: parsing \"x\": invalid syntax");
	v = int_or_string_str(S("5"));
	assert_false(int_or_percent(&v, 1, true, &got, &err));
	assert_text(error_str(&err), "invalid value for IntOrString: invalid type: string is not a percentage");
	v = int_or_string_int(5);
	assert_true(int_or_percent(&v, 1, true, &got, &err));
	assert_int_equal(got, 5);
}

// Recorded answers to requests with unknown, duplicate and ill-typed fields.
static void test_golden(void **state)
{
	(void)state;
	char path[1000];
	snprintf(path, sizeof(path), "%s/golden/fieldvalidation", shared_dir());
	_cleanup_closedir_ DIR *dir = opendir(path);
	if (!dir) {
		print_message("%s is not there: skipped\n", path);
		skip();
	}
	int n = 0;
	for (struct dirent *e; (e = readdir(dir));) {
		_cleanup_arena_ struct arena *a = arena_new(1 << 16);
		struct error err = { 0 };
		str text;
		if (e->d_name[0] == '.' ||
		    !io_read_file(a, arena_printf(a, "%s/%s", path, e->d_name).p, 1 << 24, &text, &err))
			continue;
		struct value *steps = value_get(json_parse(a, text, NULL, &err), S("steps"));
		for (size_t i = 0; steps && i < steps->a.n; i++) {
			struct value *todo = value_get(steps->a.v[i], S("do")),
			             *want = value_get(steps->a.v[i], S("want"));
			str raw = value_get_str(todo, S("raw")),
			    message = value_str(value_path(want, S("body"), S("message")));
			if (!str_eq(value_get_str(todo, S("method")), S("POST")) || !str_has_prefix(raw, S("{")))
				continue;
			struct value *doc = json_parse(a, raw, NULL, &err);
			str group, version;
			if (!str_split(value_get_str(doc, S("apiVersion")), '/', &group, &version)) {
				version = group;
				group = S("");
			}
			const struct message_desc *m = schema_kind(group, version, value_get_str(doc, S("kind")));
			if (!m)
				continue;
			struct str_list complaints = { 0 };
			struct decode_opts o = { .strict = &complaints };
			void *obj = schema_from_json(a, m, raw, &o, &err);
			str got = S("");
			if (!obj)
				got = error_str(&err);
			for (size_t k = 0; k < complaints.n && obj; k++)
				got = arena_concat(a, got, k ? S(", ") : S("strict decoding error: "), complaints.v[k]);
			struct value *warnings = value_get(want, S("warnings"));
			if (message.n) {
				ptrdiff_t at = str_find(message, S(" cannot be handled as a "));
				assert_true(at >= 0);
				message = str_from(message, (size_t)at);
				message = str_from(message, (size_t)str_find(message, S(": ")) + 2);
			} else if (warnings) {
				for (size_t k = 0; k < warnings->a.n; k++)
					message = arena_concat(a, message, k ? S(", ") : S("strict decoding error: "),
					                       value_str(warnings->a.v[k]));
			} else {
				continue; // fieldValidation=Ignore
			}
			assert_text(got, arena_cstr(a, message));
			n++;
		}
	}
	assert_true(n >= 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookups), cmocka_unit_test(test_struct), cmocka_unit_test(test_errors),
		cmocka_unit_test(test_nulls),   cmocka_unit_test(test_strict), cmocka_unit_test(test_schema_or),
		cmocka_unit_test(test_deep),    cmocka_unit_test(test_grpc),   cmocka_unit_test(test_maps),
		cmocka_unit_test(test_intstr),  cmocka_unit_test(test_golden),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
