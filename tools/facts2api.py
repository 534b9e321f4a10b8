#!/usr/bin/env python3
"""Makes the first api/*.api and proto/*.api from tables of wire facts.

Used once, to begin the schema. From then on the .api files are the source of truth and are edited by hand;
running this again overwrites them.

    tools/facts2api.py FACTS_DIR OUT_DIR [GO_SOURCE_DIR]

FACTS_DIR holds types.tsv, resources.tsv, columns.tsv and grpc.tsv. GO_SOURCE_DIR, where there is one, names the Go
types of fields, which appear in error messages on the wire ("of type v1.PullPolicy"), and tells which types embed
TypeMeta.
"""
import os
import re
import sys
from collections import OrderedDict

META = 'k8s.io.apimachinery.pkg.apis.meta.v1'
BUILTIN = {
    META + '.Time': 'time', META + '.MicroTime': 'microtime', META + '.Duration': 'duration',
    'k8s.io.apimachinery.pkg.api.resource.Quantity': 'quantity',
    'k8s.io.apimachinery.pkg.util.intstr.IntOrString': 'intorstring',
    'k8s.io.apimachinery.pkg.runtime.RawExtension': 'raw', META + '.FieldsV1': 'fieldsv1',
    'k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1.JSON': 'json',
    META + '.Verbs': 'strings', 'k8s.io.apimachinery.pkg.runtime.Unknown': 'raw',
    'k8s.io.api.authentication.v1.ExtraValue': 'strings', 'k8s.io.api.authorization.v1.ExtraValue': 'strings',
    'k8s.io.api.certificates.v1.ExtraValue': 'strings', 'k8s.io.api.certificates.v1beta1.ExtraValue': 'strings',
}
FORMS = {'JSONSchemaPropsOrArray': 'schema_or_array', 'JSONSchemaPropsOrBool': 'schema_or_bool',
         'JSONSchemaPropsOrStringArray': 'schema_or_strings'}
SKIP = set(BUILTIN) | {'k8s.io.apimachinery.pkg.runtime.TypeMeta', 'k8s.io.apimachinery.pkg.api.resource.QuantityValue', META + '.Timestamp'}
SCALARS = {'string', 'bytes', 'bool', 'int32', 'int64', 'uint32', 'uint64', 'double'}
GO_SCALARS = {'string': 'string', 'bytes': '[]uint8', 'bool': 'bool', 'int32': 'int32', 'int64': 'int64', 'double': 'float64'}
# Embed TypeMeta, in packages whose source may be absent.
OBJECTS = {
    'k8s.io.kube_aggregator.pkg.apis.apiregistration.v1': {'APIService', 'APIServiceList'},
    'k8s.io.metrics.pkg.apis.metrics.v1beta1': {'NodeMetrics', 'NodeMetricsList', 'PodMetrics', 'PodMetricsList'},
    'k8s.io.metrics.pkg.apis.custom_metrics.v1beta1': {'MetricValue', 'MetricValueList', 'MetricListOptions'},
    'k8s.io.metrics.pkg.apis.custom_metrics.v1beta2': {'MetricValue', 'MetricValueList', 'MetricListOptions'},
    'k8s.io.metrics.pkg.apis.external_metrics.v1beta1': {'ExternalMetricValue', 'ExternalMetricValueList'},
}
API_GROUPS = {
    'core': '', 'admission': 'admission.k8s.io', 'admissionregistration': 'admissionregistration.k8s.io',
    'apiserverinternal': 'internal.apiserver.k8s.io', 'apidiscovery': 'apidiscovery.k8s.io',
    'authentication': 'authentication.k8s.io', 'authorization': 'authorization.k8s.io',
    'certificates': 'certificates.k8s.io', 'coordination': 'coordination.k8s.io', 'discovery': 'discovery.k8s.io',
    'events': 'events.k8s.io', 'flowcontrol': 'flowcontrol.apiserver.k8s.io', 'imagepolicy': 'imagepolicy.k8s.io',
    'networking': 'networking.k8s.io', 'node': 'node.k8s.io', 'rbac': 'rbac.authorization.k8s.io',
    'resource': 'resource.k8s.io', 'scheduling': 'scheduling.k8s.io', 'storage': 'storage.k8s.io',
    'storagemigration': 'storagemigration.k8s.io', 'apiextensions': 'apiextensions.k8s.io',
    'apiregistration': 'apiregistration.k8s.io', 'metrics': 'metrics.k8s.io', 'custom_metrics': 'custom.metrics.k8s.io',
    'external_metrics': 'external.metrics.k8s.io', 'audit': 'audit.k8s.io', 'meta': 'meta.k8s.io',
}
GRPC_PREFIX = {
    ('cri', 'runtime.v1'): 'cri_v1', ('etcd', 'etcdserverpb'): 'etcdserverpb', ('csi', 'csi.v1'): 'csi_v1',
    ('deviceplugin', 'v1beta1'): 'deviceplugin_v1beta1', ('podresources', 'v1'): 'podresources_v1',
    ('dra', 'k8s.io.kubelet.pkg.apis.dra.v1'): 'dra_v1', ('kmsv2', 'v2'): 'kms_v2',
    ('drahealth', 'v1alpha1'): 'drahealth_v1alpha1', ('etcdkv', 'mvccpb'): 'mvccpb',
    ('pluginregistration', 'pluginregistration'): 'pluginregistration_v1',
}


def rows(path):
    with open(path, encoding='utf-8') as f:
        for line in f:
            if not line.startswith('#'):
                yield line.rstrip('\n').split('\t')


def prefix_of(package):
    parts = package.split('.')
    return parts[-2] + '_' + parts[-1] if re.match(r'v\d', parts[-1]) else parts[-1]


def go_dir(package):
    p = package.split('.')
    if package.startswith('k8s.io.api.'):
        return 'api/' + '/'.join(p[3:])
    if package.startswith('k8s.io.apimachinery.'):
        return 'apimachinery/' + '/'.join(p[3:])
    if package.startswith('k8s.io.apiextensions_apiserver.'):
        return 'apiextensions-apiserver/' + '/'.join(p[3:])
    if package.startswith('k8s.io.apiserver.'):
        return 'apiserver/' + '/'.join(p[3:])
    return None


def read_go(root, package):
    """{struct: {json name: (Go type, default)}}, {struct: embeds TypeMeta}"""
    fields, objects = {}, set()
    d = go_dir(package)
    if not root or not d or not os.path.isdir(os.path.join(root, d)):
        return fields, OBJECTS.get(package, set())
    for name in sorted(os.listdir(os.path.join(root, d))):
        if not name.endswith('.go') or 'types' not in name and name not in ('watch.go', 'micro_time.go'):
            continue
        struct, default = None, ''
        for line in open(os.path.join(root, d, name), encoding='utf-8'):
            m = re.match(r'type (\w+) struct \{', line)
            if m:
                struct = m.group(1)
                fields.setdefault(struct, {})
            elif line.startswith('}'):
                struct = None
            elif struct:
                if re.match(r'\s*(\w+\.)?TypeMeta\s+`json:"(,omitempty)?,inline', line):
                    objects.add(struct)
                m = re.match(r'\s*\w+\s+(\S+)\s+`.*json:"([^",]+)', line)
                mark = re.match(r'\s*// \+default=(.*)$', line)
                if mark:
                    default = {'ref(AzureDataDiskCachingReadWrite)': '"ReadWrite"', 'ref(AzureSharedBlobDisk)': '"Shared"'}.get(
                        mark.group(1).strip(), mark.group(1).strip())
                elif m:
                    fields[struct][m.group(2)] = (m.group(1), default)
                if not line.strip().startswith('//'):
                    default = ''
    return fields, objects


def go_name(t, package):
    """The text that reflect.Type.String gives, outer pointer dropped."""
    t = t.lstrip('*')
    m = re.match(r'map\[(.*?)\](.*)$', t)
    if m:
        return 'map[%s]%s' % (go_name(m.group(1), package), go_elem(m.group(2), package))
    if t.startswith('[]'):
        return '[]' + go_elem(t[2:], package)
    if t in ('string', 'bool', 'int32', 'int64', 'float64', 'int'):
        return t
    if t == 'byte':
        return 'uint8'
    if '.' in t:
        pkg, name = t.split('.')
        pkg = {'metav1': 'v1', 'types': 'types', 'v1': 'v1', 'corev1': 'v1', 'rbacv1': 'v1'}.get(pkg, pkg)
        return pkg + '.' + name
    return package.split('.')[-1] + '.' + t


def go_elem(t, package):
    return ('*' if t.startswith('*') else '') + go_name(t, package)


def main():
    facts, out = sys.argv[1], sys.argv[2]
    go_root = sys.argv[3] if len(sys.argv) > 3 else None
    packages = OrderedDict()
    for pkg, msg, num, field, json, pres, typ, label, req, openapi, marks in rows(facts + '/types.tsv'):
        packages.setdefault(pkg, OrderedDict()).setdefault(msg, []).append((int(num), field, json, pres, typ, label, req, openapi, marks))
    atomic = set()
    undefined = OrderedDict()
    hidden_hint = {}
    for pkg, msgs in packages.items():
        for msg, fields in msgs.items():
            for f in fields:
                typ = f[4]
                m = re.match(r'map<string, \.?(.*)>$', typ)
                typ = m.group(1) if m else typ
                if typ in SCALARS:
                    continue
                full = typ if '.' in typ else pkg + '.' + typ
                if 'of-map-type=atomic' in f[8] and not f[2] == '-':
                    pass
                p, _, n = full.rpartition('.')
                if n not in packages.get(p, {}):
                    undefined.setdefault(p, OrderedDict())[n] = None
                    hidden_hint[full] = f[7] == 'type-not-in-openapi'
    for p, names in undefined.items():
        for n in names:
            packages.setdefault(p, OrderedDict())[n] = []
    # of-map-type=atomic on a field says: the type that this field belongs to is an atomic map.
    resources = OrderedDict()
    preferred, order = {}, []
    for g, v, pref, res, kind, gvk, sing, scope, verbs, short, cats in rows(facts + '/resources.tsv'):
        g = '' if g == 'core' else g
        if (g, v) not in order:
            order.append((g, v))
        preferred[(g, v)] = pref == 'yes'
        resources.setdefault((g, v), []).append((res, kind, gvk, sing, scope, verbs, short, cats))
    columns = {}
    for g, v, res, col, typ, fmt, prio in rows(facts + '/columns.tsv'):
        g = '' if g == 'core' else g
        columns.setdefault((g, v, res), []).append((col, typ, fmt, prio))

    os.makedirs(out + '/api', exist_ok=True)
    os.makedirs(out + '/proto', exist_ok=True)
    used = set()
    for pkg, msgs in packages.items():
        msgs = OrderedDict((n, f) for n, f in msgs.items() if pkg + '.' + n not in SKIP)
        if not msgs:
            continue
        prefix = prefix_of(pkg)
        go, objects = read_go(go_root, pkg)
        lines = []
        parts = pkg.split('.')
        gv = None
        gname = parts[-2]
        if re.match(r'v\d', parts[-1]):
            gv = (API_GROUPS.get(gname, gname), parts[-1])
        lines.append('package %s' % pkg)
        lines.append('prefix %s' % prefix)
        if gv and gname != 'meta':
            lines.append('group %s' % (gv[0] or '""'))
            lines.append('version %s' % gv[1])
        if gv in resources:
            used.add(gv)
            lines.append('served %d%s' % (order.index(gv) + 1, ' preferred' if preferred[gv] else ''))
            for res, kind, gvk, sing, scope, verbs, short, cats in resources[gv]:
                lines.append('')
                lines.append('resource %s %s %s%s' % (res, kind, scope.lower(), ' body=' + gvk if gvk else ''))
                if sing:
                    lines.append('\tsingular %s' % sing)
                lines.append('\tverbs %s' % verbs.replace(',', ' '))
                if short:
                    lines.append('\tshort %s' % short.replace(',', ' '))
                if cats:
                    lines.append('\tcategories %s' % cats.replace(',', ' '))
                for col, typ, fmt, prio in columns.get((gv[0], gv[1], res), []):
                    lines.append('\tcolumn "%s" %s%s%s' % (col, typ, ' format=' + fmt if fmt else '', ' priority=' + prio if prio != '0' else ''))
        for msg, fields in msgs.items():
            marks = []
            if msg in objects:
                marks.append('object')
            if fields and all(f[7] == 'type-not-in-openapi' for f in fields) or not fields and hidden_hint.get(pkg + '.' + msg):
                marks.append('hidden')
            if any('of-map-type=atomic' in f[8] for f in fields):
                marks.append('atomic')
            if msg in FORMS:
                marks.append('form=' + FORMS[msg])
                fields = [f[:2] + (f[1],) + f[3:] for f in fields]
            lines.append('')
            lines.append(' '.join(['type', msg] + marks))
            for num, field, json, pres, typ, label, req, openapi, fm in fields:
                lines.append('\t' + field_line(pkg, msg, go, num, field, json, pres, typ, label, req, openapi, fm))
        name = prefix.replace('_v', '.v') if gv else prefix
        with open('%s/api/%s.api' % (out, name), 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines) + '\n')
    for gv in order:
        if gv not in used:
            sys.exit('no package for %s/%s' % gv)
    grpc(facts, out)


def field_line(pkg, msg, go, num, field, json, pres, typ, label, req, openapi, fm):
    m = re.match(r'map<string, \.?(.*)>$', typ)
    elem = m.group(1) if m else typ
    if elem in SCALARS:
        t, gt = elem, GO_SCALARS[elem]
    else:
        full = elem if '.' in elem else pkg + '.' + elem
        gt = full.split('.')[-2] + '.' + full.split('.')[-1]
        if full in BUILTIN:
            t = BUILTIN[full]
        else:
            p, _, n = full.rpartition('.')
            t = n if p == pkg else prefix_of(p) + '.' + n
    if m:
        t, gt = 'map[string]' + t, 'map[string]' + gt
    elif label == 'repeated':
        t, gt = '[]' + t, '[]' + gt
    elif 'pointer' in pres:
        t = '*' + t
    words = ['%d' % num]
    words.append('(inline)=' + field if json == '(inline)' else json if json == field else '%s=%s' % (json, field))
    words.append(t)
    if 'omitempty' in pres:
        words.append('omitempty')
    if 'omitzero' in pres:
        words.append('omitzero')
    if req:
        words.append('required')
    if openapi == 'not-in-openapi' and json != '(inline)':
        words.append('hidden')
    marks = OrderedDict(x.split('=', 1) for x in fm.split(';') if x)
    if 'list-type' in marks:
        words.append('list=%s' % marks['list-type'] + ('(%s)' % marks['list-map-keys'] if 'list-map-keys' in marks else ''))
    if 'map-type' in marks:
        words.append('map=%s' % marks['map-type'])
    if 'patch-strategy' in marks:
        words.append('patch=%s' % marks['patch-strategy'] + ('(%s)' % marks['patch-merge-key'] if 'patch-merge-key' in marks else ''))
    got = go.get(msg, {}).get(json)
    if got and got[1]:
        words.append('default=' + got[1].replace(' ', ''))
    if got:
        name = go_name(got[0], pkg)
        if name not in (gt, '[]uint8'):
            words.append('go=' + name)
    return ' '.join(words)


def grpc(facts, out):
    packages = OrderedDict()
    for contract, package, kind, name, num, member, typ, label in rows(facts + '/grpc.tsv'):
        p = packages.setdefault((contract, package), OrderedDict(service=OrderedDict(), enum=OrderedDict(), message=OrderedDict()))
        p[kind].setdefault(name, []).append((num, member, typ, label))
    known = {}
    for (c, package), p in packages.items():
        known[package] = set(p['message']) | set(p['enum'])
    for key, p in packages.items():
        package, prefix = key[1], GRPC_PREFIX[key]
        refs = set()
        for methods in p['service'].values():
            for _, _, typ, _ in methods:
                for side in typ.split(' -> '):
                    refs.add(side.replace('stream ', ''))
        lines = ['package %s' % package, 'prefix %s' % prefix, 'grpc']
        for name, methods in p['service'].items():
            lines += ['', 'service %s' % name]
            for _, member, typ, _ in methods:
                lines.append('\t%s %s' % (member, typ))
        for name, members in p['enum'].items():
            lines += ['', 'enum %s' % name]
            for num, member, _, _ in members:
                lines.append('\t%s %s' % (member, num))
        body = []
        for name, members in p['message'].items():
            body += ['', 'type %s' % name]
            for num, member, typ, label in members:
                typ = typ.replace('.google', 'google')
                m = re.match(r'map<string, ?(.*)>$', typ)
                elem = m.group(1) if m else typ
                for pk, kp in (('google.protobuf', 'google_protobuf'), ('mvccpb', 'mvccpb'), ('authpb', 'authpb')):
                    if elem.startswith(pk + '.'):
                        elem = kp + '.' + elem[len(pk) + 1:]
                        break
                else:
                    if elem not in SCALARS:
                        scope = name.split('.')
                        while scope and '.'.join(scope) + '.' + elem not in known[package]:
                            scope.pop()
                        elem = '.'.join(scope + [elem])
                        refs.add(elem)
                t = 'map[string]' + elem if m else '[]' + elem if label == 'repeated' else elem
                line = '\t%s %s %s' % (num, member, t)
                if label.startswith('oneof'):
                    line += ' oneof=' + label.split()[1]
                elif label == 'optional':
                    line += ' optional'
                body.append(line)
        for r in sorted(refs - known[package]):
            body += ['', 'type %s' % r]
        with open('%s/proto/%s.api' % (out, prefix), 'w', encoding='utf-8') as f:
            f.write('\n'.join(lines + body) + '\n')
    with open(out + '/proto/google_protobuf.api', 'w', encoding='utf-8') as f:
        f.write('package google.protobuf\nprefix google_protobuf\ngrpc\n\ntype Timestamp\n\t1 seconds int64\n\t2 nanos int32\n\n'
                'type BoolValue\n\t1 value bool\n\ntype Int64Value\n\t1 value int64\n')
    with open(out + '/proto/authpb.api', 'w', encoding='utf-8') as f:
        f.write('package authpb\nprefix authpb\ngrpc\n\nenum Permission.Type\n\tREAD 0\n\tWRITE 1\n\tREADWRITE 2\n\n'
                'type Permission\n\t1 permType Permission.Type\n\t2 key bytes\n\t3 range_end bytes\n\n'
                'type UserAddOptions\n\t1 no_password bool\n')


main()
