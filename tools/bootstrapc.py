#!/usr/bin/env python3
"""Embeds JSON files as compact text: tools/bootstrapc.py OUT.c FILE.json...  (schema_bootstrap in src/schema/schema.h)"""
import json
import os
import sys


def literal(raw):
    return ''.join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else '\\%03o' % b for b in raw)


def main():
    out = ['// Made by tools/bootstrapc.py from api/bootstrap/*.json: change those, not this.', '#include "schema/schema.h"', '',
           'str schema_bootstrap(str name)', '{']
    for path in sorted(sys.argv[2:]):
        name = os.path.basename(path)[:-len('.json')]
        with open(path, encoding='utf-8') as f:
            raw = json.dumps(json.load(f), separators=(',', ':'), ensure_ascii=False).encode()
        out += ['\tstatic const char %s_json[] =' % name]
        for i in range(0, len(raw), 100):
            out.append('\t\t"%s"' % literal(raw[i:i + 100]))
        out += ['\t\t;', '\tif (str_eq(name, S("%s")))' % name, '\t\treturn str_n(%s_json, sizeof(%s_json) - 1);' % (name, name)]
    out += ['\treturn S("");', '}']
    with open(sys.argv[1], 'w', encoding='utf-8') as f:
        f.write('\n'.join(out) + '\n')


main()
