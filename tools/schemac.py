#!/usr/bin/env python3
"""The schema compiler: api/*.api and proto/*.api -> schema_gen.h (C structs) and schema_gen.c (tables).

    tools/schemac.py -o OUT_DIR FILE.api...

docs/schema.md describes the language; src/schema/schema.h describes what comes out of it.
"""
import json
import os
import re
import sys

KEYWORDS = set('''auto break case char const continue default do double else enum extern float for goto if inline int long
register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while bool true false
asm typeof linux unix i386'''.split())

# word of the language -> (enum field_type, C type, stem of list and map types)
SCALARS = {
    'bool': ('FT_BOOL', 'bool', 'bool'), 'int32': ('FT_INT32', 'int32_t', 'int32'), 'int64': ('FT_INT64', 'int64_t', 'int64'),
    'uint32': ('FT_UINT32', 'uint32_t', 'uint32'), 'uint64': ('FT_UINT64', 'uint64_t', 'uint64'),
    'double': ('FT_DOUBLE', 'double', 'double'), 'string': ('FT_STRING', 'str', 'str'), 'bytes': ('FT_BYTES', 'str', 'str'),
    'time': ('FT_TIME', 'struct api_time', 'api_time'), 'microtime': ('FT_MICROTIME', 'struct api_time', 'api_time'),
    'duration': ('FT_DURATION', 'struct api_duration', 'api_duration'),
    'quantity': ('FT_QUANTITY', 'struct quantity', 'quantity'),
    'intorstring': ('FT_INTORSTRING', 'struct int_or_string', 'int_or_string'),
    'raw': ('FT_RAW', 'struct raw_json', 'raw_json'), 'fieldsv1': ('FT_FIELDSV1', 'struct raw_json', 'raw_json'),
    'json': ('FT_JSON', 'struct raw_json', 'raw_json'), 'strings': ('FT_STRINGS', 'struct str_list', 'str_list'),
}
FORMS = {'schema_or_bool': 'FT_SCHEMA_OR_BOOL', 'schema_or_array': 'FT_SCHEMA_OR_ARRAY', 'schema_or_strings': 'FT_SCHEMA_OR_STRINGS'}
IN_HEADER = {'str_list', 'str_map', 'quantity_map'}  # schema.h declares these itself
FIELD_WORDS = {'omitempty': 'FF_OMITEMPTY', 'omitzero': 'FF_OMITZERO', 'required': 'FF_REQUIRED', 'hidden': 'FF_NOT_IN_OPENAPI'}
NONE = 0xffffffff


class Bad(Exception):
    pass


class Field:
    def __init__(self):
        self.flags = []
        self.oneof = self.keys = self.merge = self.default = self.go = ''
        self.pointer = self.inline = False


class Message:
    def __init__(self, package, name):
        self.package, self.name = package, name
        self.fields = []
        self.object = self.atomic = self.hidden = False
        self.form = ''
        self.unions = []
        self.c = package.prefix + '_' + name.replace('.', '_')
        self.full = package.name + '.' + name


class Resource:
    def __init__(self, package, name, kind):
        self.package, self.name, self.kind = package, name, kind
        self.singular, self.verbs, self.short, self.categories, self.body, self.columns = '', [], [], [], '', []
        self.namespaced = self.returns_deleted = False


class Package:
    def __init__(self):
        self.name = self.prefix = self.version = ''
        self.group = None
        self.order, self.preferred, self.grpc = 0, False, False
        self.messages, self.resources, self.enums, self.services = {}, [], {}, {}


def split_words(line):
    """Words; a double-quoted stretch is part of its word."""
    return [w.replace('"', '') if not w.startswith('default=') else w for w in re.findall(r'(?:[^\s"]|"(?:\\.|[^"\\])*")+', line)]


def parse(path):
    p = Package()
    what = None
    with open(path, encoding='utf-8') as f:
        for no, line in enumerate(f, 1):
            line = line.rstrip('\n')
            if not line.strip() or line.lstrip().startswith('#'):
                continue
            try:
                if not line.startswith('\t'):
                    what = parse_head(p, split_words(line))
                else:
                    parse_body(p, what, split_words(line), line)
            except (Bad, IndexError, ValueError) as e:
                sys.exit('%s:%d: %s: %s' % (path, no, e or 'syntax', line.strip()))
    return p


def parse_head(p, w):
    if w[0] == 'package':
        p.name = w[1]
    elif w[0] == 'prefix':
        p.prefix = w[1]
    elif w[0] == 'group':
        p.group = w[1]
    elif w[0] == 'version':
        p.version = w[1]
    elif w[0] == 'grpc':
        p.grpc = True
    elif w[0] == 'served':
        p.order, p.preferred = int(w[1]), 'preferred' in w[2:]
    elif w[0] == 'type':
        m = p.messages[w[1]] = Message(p, w[1])
        for mark in w[2:]:
            if mark.startswith('form='):
                m.form = mark[5:]
                if m.form not in FORMS:
                    raise Bad('unknown form')
            elif mark in ('object', 'atomic', 'hidden'):
                setattr(m, mark, True)
            else:
                raise Bad('unknown mark ' + mark)
        return m
    elif w[0] == 'resource':
        r = Resource(p, w[1], w[2])
        r.namespaced = {'namespaced': True, 'cluster': False}[w[3]]
        for mark in w[4:]:
            if mark.startswith('body='):
                r.body = mark[5:]
            elif mark == 'deleted=object':
                r.returns_deleted = True
            else:
                raise Bad('unknown mark ' + mark)
        p.resources.append(r)
        return r
    elif w[0] == 'enum':
        return p.enums.setdefault(w[1], [])
    elif w[0] == 'service':
        return p.services.setdefault(w[1], {})
    else:
        raise Bad('unknown word ' + w[0])
    return None


def parse_body(p, what, w, line):
    if isinstance(what, Message) and w[0] == 'union':
        union = dict(x.split('=', 1) for x in w[1:])
        discriminator = union.pop('discriminator', None)
        what.unions.append(({'discriminator': discriminator} if discriminator else {}) | {'fields-to-discriminateBy': union})
    elif isinstance(what, Message):
        what.fields.append(parse_field(p, what, w))
    elif isinstance(what, Resource):
        if w[0] == 'singular':
            what.singular = w[1]
        elif w[0] == 'verbs':
            what.verbs = w[1:]
        elif w[0] == 'short':
            what.short = w[1:]
        elif w[0] == 'categories':
            what.categories = w[1:]
        elif w[0] == 'column':
            marks = dict(x.split('=', 1) for x in w[3:])
            what.columns.append((w[1], w[2], marks.pop('format', ''), int(marks.pop('priority', '0'))))
            if marks:
                raise Bad('unknown mark')
        else:
            raise Bad('unknown word ' + w[0])
    elif isinstance(what, list):
        what.append((w[0], int(w[1])))
    elif isinstance(what, dict):
        m = re.match(r'\s*(\w+) (stream )?([\w.]+) -> (stream )?([\w.]+)$', line)
        if not m:
            raise Bad('not a method')
        what[m.group(1)] = (bool(m.group(2)), m.group(3), bool(m.group(4)), m.group(5))
    else:
        raise Bad('line outside of a type')


def parse_field(p, msg, w):
    f = Field()
    f.number = int(w[0])
    f.json, _, f.proto = w[1].partition('=')
    f.proto = f.proto or f.json
    if f.json == '(inline)':
        f.inline, f.json = True, f.proto
        f.flags.append('FF_INLINE')
    t = w[2]
    f.label = 'FL_ONE'
    if t.startswith('*'):
        f.pointer, t = True, t[1:]
    elif t.startswith('[]'):
        f.label, t = 'FL_LIST', t[2:]
    elif t.startswith('map[string]'):
        f.label, t = 'FL_MAP', t[11:]
    f.type = t
    f.granular = False
    for mark in w[3:]:
        key, _, value = mark.partition('=')
        args = ''
        m = re.match(r'(.*)\((.*)\)$', value)
        if m and key in ('list', 'patch'):
            value, args = m.groups()
        if mark in FIELD_WORDS:
            f.flags.append(FIELD_WORDS[mark])
        elif mark == 'optional' and p.grpc:
            f.pointer = True
        elif key == 'oneof' and p.grpc:
            f.oneof, f.pointer = value, True
        elif key == 'list':
            f.flags.append({'atomic': 'FF_ATOMIC', 'set': 'FF_SET', 'map': 'FF_MAP_LIST'}[value])
            f.keys = args
        elif key == 'map':
            if value == 'atomic':
                f.flags.append('FF_ATOMIC')
            else:
                f.granular = True
                f.flags.append('FF_GRANULAR')
        elif key == 'patch':
            for v in value.split(','):
                f.flags.append({'merge': 'FF_PATCH_MERGE', 'replace': 'FF_PATCH_REPLACE', 'retainKeys': 'FF_PATCH_RETAIN_KEYS'}[v])
            f.merge = args
        elif key == 'default':
            f.default = value
        elif key == 'go':
            f.go = value
        else:
            raise Bad('unknown mark ' + mark)
    return f


def resolve(packages):
    """Gives each field its type, C type and message; orders structs so that embedded ones come first."""
    prefixes = {p.prefix: p for p in packages}
    for p in packages:
        for m in p.messages.values():
            numbers = set()
            for f in m.fields:
                if f.number in numbers:
                    sys.exit('%s: number %d stands twice' % (m.full, f.number))
                numbers.add(f.number)
                f.message = None
                if f.type in SCALARS:
                    f.ft, f.c, f.stem = SCALARS[f.type]
                else:
                    owner, name = p, f.type
                    if name not in p.messages and name not in p.enums:
                        prefix, _, name = f.type.partition('.')
                        owner = prefixes.get(prefix)
                        if owner is None:
                            sys.exit('%s: %s: unknown type %s' % (m.full, f.json, f.type))
                    if name in owner.enums:
                        f.ft, f.c, f.stem = 'FT_ENUM', 'int32_t', 'int32'
                    elif name in owner.messages:
                        f.message = owner.messages[name]
                        f.ft = FORMS[f.message.form] if f.message.form else 'FT_MESSAGE'
                        f.c, f.stem = 'struct ' + f.message.c, f.message.c
                        if p.grpc and f.label == 'FL_ONE':
                            f.pointer = True
                        if f.message.atomic and f.label == 'FL_ONE' and not f.granular:
                            f.flags.append('FF_ATOMIC')
                    else:
                        sys.exit('%s: %s: unknown type %s' % (m.full, f.json, f.type))
                name = f.json if re.match(r'[A-Za-z_]\w*$', f.json) else f.proto
                f.name = name + '_' if name in KEYWORDS else name
                if f.pointer and not (f.inline and f.label == 'FL_ONE'):
                    f.flags.append('FF_POINTER')
                f.flags = sorted(set(f.flags))
    everything = [m for p in packages for m in p.messages.values()]
    order, state = [], {}

    def visit(m):
        if state.get(m) == 2:
            return
        if state.get(m) == 1:
            sys.exit('%s contains itself by value: make a field a pointer' % m.full)
        state[m] = 1
        for f in m.fields:
            if f.message and f.label == 'FL_ONE' and not f.pointer:
                visit(f.message)
        state[m] = 2
        order.append(m)

    for m in everything:
        visit(m)
    return order


def c_type(f):
    if f.label == 'FL_LIST':
        return 'struct %s_list ' % f.stem
    if f.label == 'FL_MAP':
        return 'struct %s_map ' % f.stem
    return f.c + (' *' if f.pointer else ' ')


def write_header(out, packages, order):
    w = out.append
    w('// Made by tools/schemac.py from api/*.api and proto/*.api: change those, not this.')
    w('#ifndef CORACLE_SCHEMA_GEN_H\n#define CORACLE_SCHEMA_GEN_H\n')
    w('#include "schema/schema.h"\n')
    for m in order:
        w('struct %s;' % m.c)
    w('')
    stems = {}
    for m in order:
        for f in m.fields:
            if f.label == 'FL_LIST':
                stems.setdefault(f.stem + '_list', f)
            elif f.label == 'FL_MAP':
                stems.setdefault(f.stem + '_map', f)
    entries = []
    for name, f in sorted(stems.items()):
        if name in IN_HEADER:
            continue
        if f.label == 'FL_LIST':
            w('struct %s { %s *v; size_t n; };' % (name, f.c))
        else:
            w('struct %s_entry;' % f.stem)
            w('struct %s { struct %s_entry *v; size_t n; };' % (name, f.stem))
            entries.append(f)
    w('')
    for p in packages:
        for name, members in p.enums.items():
            c = p.prefix + '_' + name.replace('.', '_')
            w('enum %s {' % c)
            for member, number in members:
                w('\t%s_%s = %d,' % (c, member, number))
            w('};')
    w('')
    for m in order:
        w('struct %s { // %s' % (m.c, m.full))
        if m.object:
            w('\tstr apiVersion, kind;')
        if not m.fields and not m.object:
            w('\tchar nothing_;')
        for f in m.fields:
            note = []
            if f.ft == 'FT_ENUM':
                note.append('enum ' + f.type)
            if f.ft == 'FT_BYTES':
                note.append('bytes')
            if f.oneof:
                note.append('oneof ' + f.oneof)
            if f.default:
                note.append('default ' + f.default)
            w('\t%s%s;%s' % (c_type(f), f.name, ' // ' + ', '.join(note) if note else ''))
        w('};')
    w('')
    for f in entries:
        w('struct %s_entry { str key; %s value; };' % (f.stem, f.c))
    w('')
    w('extern const struct message_desc schema_messages[];')
    for i, m in enumerate(sorted(order, key=lambda m: m.full.encode())):
        m.index = i
        w('#define %s_desc (&schema_messages[%d])' % (m.c, i))
    w('')
    for p in packages:
        for service, methods in p.services.items():
            for method in methods:
                w('#define %s_%s_%s_path "/%s.%s/%s"' % (p.prefix, service, method, p.name, service, method))
    w('\n#endif')


class Pool:
    """All text: two bytes of length, the bytes, a NUL. Offset 0 is the empty text."""

    def __init__(self):
        self.at, self.chunks, self.size = {'': 0}, ['\\000\\000\\000'], 3

    def add(self, text):
        if text not in self.at:
            raw = text.encode()
            self.at[text] = self.size + 2
            body = ''.join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else '\\%03o' % b for b in raw)
            self.chunks.append('\\%03o\\%03o%s\\000' % (len(raw) & 255, len(raw) >> 8, body))
            self.size += len(raw) + 3
        return self.at[text]


def fnv(text):
    h = 2166136261
    for b in text.encode():
        h = (h ^ b) * 16777619 & 0xffffffff
    return h


def write_tables(out, packages, order):
    w = out.append
    pool = Pool()
    messages = sorted(order, key=lambda m: m.index)
    w('// Made by tools/schemac.py from api/*.api and proto/*.api: change those, not this.')
    w('#include "schema/tables.h"')
    w('#include "schema_gen.h"\n')
    fields, descs, names, pbs = [], [], [], []
    for m in messages:
        first = len(fields)
        local = []
        if m.object:
            for meta in ('kind', 'apiVersion'):
                local.append((meta, meta, 0, meta, 'FT_STRING', 'FL_ONE', ['FF_OMITEMPTY'], NONE, '', '', '', '', ''))
        for f in m.fields:
            local.append((f.json, f.proto, f.number, f.name, f.ft, f.label, f.flags, f.message.index if f.message else NONE,
                          f.keys, f.merge, f.default, f.go, f.oneof))
        for name, proto, number, cname, ft, label, flags, message, keys, merge, default, go, oneof in local:
            fields.append('{ %d, %d, %d, offsetof(struct %s, %s), %s, %s, %s, %s, %d, %d, %d, %d, %d },' % (
                pool.add(name), pool.add(proto), number, m.c, cname, ft, label, ' | '.join(flags) or '0',
                'UINT32_MAX' if message == NONE else message, pool.add(keys), pool.add(merge), pool.add(default), pool.add(go), pool.add(oneof)))
        m.first = first
        m.pb_first = len(pbs)
        byn = sorted((x[2], i) for i, x in enumerate(local) if x[2] > 0)
        pbs += [i for _, i in byn]
        m.n, m.npb = len(local), len(byn)
    for m in messages:
        flat = []

        def walk(x, base):
            k = 2 if x.object else 0
            if x.object:
                flat.append((fnv('kind'), x.first, base))
                flat.append((fnv('apiVersion'), x.first + 1, base))
            for i, f in enumerate(x.fields):
                if f.inline:
                    walk(f.message, base + ['offsetof(struct %s, %s)' % (x.c, f.name)])
                else:
                    flat.append((fnv(f.json), x.first + k + i, base))
        walk(m, [])
        flat.sort(key=lambda x: (x[0], x[1]))
        m.first_name, m.nnames = len(names), len(flat)
        for h, i, base in flat:
            names.append('{ 0x%08x, %d, %s },' % (h, i, ' + '.join(base) or '0'))
        flags = [n for n, on in (('MF_TYPEMETA', m.object), ('MF_GRPC', m.package.grpc), ('MF_ATOMIC', m.atomic), ('MF_HIDDEN', m.hidden)) if on]
        if m.nnames > 256 or len(m.fields) > 60000:
            sys.exit('%s: too many fields' % m.full)
        unions = json.dumps(m.unions, separators=(',', ':')) if m.unions else ''
        descs.append('{ %d, %d, %d, %d, sizeof(struct %s), %s, %d, %d, %d, %d, %d, %d },' % (
            pool.add(m.package.name), pool.add(m.name), m.first, m.n, m.c, ' | '.join(flags) or '0', m.first_name, m.nnames, m.pb_first, m.npb,
            pool.add(m.package.prefix), pool.add(unions)))
    resources, columns, groups = [], [], []
    by_gv = {((p.group or '') + '/' + p.version if p.group else p.version): p for p in packages if p.group is not None}
    for p in sorted((p for p in packages if p.order), key=lambda p: p.order):
        groups.append('{ %d, %d, %d, %d, %s },' % (pool.add(p.group), pool.add(p.version), len(resources), len(p.resources), 'true' if p.preferred else 'false'))
        for r in p.resources:
            owner = by_gv[r.body] if r.body else p
            body = owner.messages.get(r.kind)
            if body is None:
                sys.exit('%s: no type %s for resource %s' % (owner.name, r.kind, r.name))
            lst = owner.messages.get(r.kind + 'List') if '/' not in r.name else None
            resources.append('{ %d, %d, %d, %d, %d, %d, %d, %d, %d, %d, %s, %d, %d, %s, %s, %s },' % (
                pool.add(p.group), pool.add(p.version), pool.add(r.name), pool.add(r.kind), pool.add(r.singular), pool.add(r.body),
                pool.add(','.join(r.verbs)), pool.add(','.join(r.short)), pool.add(','.join(r.categories)), body.index,
                lst.index if lst else 'UINT32_MAX', len(columns), len(r.columns), 'true' if r.namespaced else 'false', 'true' if p.preferred else 'false',
                'true' if r.returns_deleted else 'false'))
            for name, typ, fmt, prio in r.columns:
                columns.append('{ %d, %d, %d, %d },' % (pool.add(name), pool.add(typ), pool.add(fmt), prio))
    methods = []
    for p in packages:
        for service, ms in p.services.items():
            for name, (cs, req, ss, resp) in ms.items():
                path = '/%s.%s/%s' % (p.name, service, name)
                flags = [n for n, on in (('METHOD_CLIENT_STREAM', cs), ('METHOD_SERVER_STREAM', ss)) if on]
                methods.append((path, '{ %d, %d, %d, %s },' % (pool.add(path), p.messages[req].index, p.messages[resp].index, ' | '.join(flags) or '0')))
    methods = [x[1] for x in sorted(methods, key=lambda x: x[0].encode())]
    gvs = sorted(((p.group, p.version, p.name) for p in packages if p.group is not None))
    gvrows = ['{ %d, %d, %d },' % tuple(pool.add(x) for x in gv) for gv in gvs]
    for name, ctype, body in (('fields', 'field_desc', fields), ('messages', 'message_desc', descs), ('names', 'name_entry', names),
                              ('resources', 'resource_desc', resources), ('columns', 'column_desc', columns), ('groups', 'group_desc', groups),
                              ('methods', 'method_desc', methods), ('packages', 'package_desc', gvrows)):
        w('const struct %s schema_%s[] = {' % (ctype, name))
        out.extend('\t' + x for x in body)
        w('};')
    w('const uint16_t schema_pb_order[] = {')
    for i in range(0, len(pbs), 32):
        w('\t' + ', '.join(map(str, pbs[i:i + 32])) + ',')
    w('};')
    w('const char schema_pool[] =')
    out.extend('\t"%s"' % c for c in pool.chunks)
    w('\t;')
    for name, body in (('message', descs), ('resource', resources), ('group', groups), ('method', methods), ('package', gvrows)):
        w('const size_t schema_n_%ss = %d;' % (name, len(body)))


def main():
    args = sys.argv[1:]
    if len(args) < 3 or args[0] != '-o':
        sys.exit(__doc__)
    packages = [parse(path) for path in sorted(args[2:], key=os.path.basename)]
    order = resolve(packages)
    for name, write in (('schema_gen.h', write_header), ('schema_gen.c', write_tables)):
        out = []
        write(out, packages, order)
        with open(os.path.join(args[1], name), 'w', encoding='utf-8') as f:
            f.write('\n'.join(out) + '\n')


main()
