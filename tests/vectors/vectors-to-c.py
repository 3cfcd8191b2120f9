#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns the captured and computed adverts into tables that a C test can include: vectors-to-c.py GOOD.json REJECT.json > HEADER"""
import json
import sys


def text(value):
    return '"' + ''.join(c if ' ' <= c <= '~' and c not in '"\\' else '?' for c in value) + '"'


def row(v):
    key = v.get('key_hex') or v['passphrase'].encode().hex()
    vips = ' '.join(v['vips'])
    fields = [text(v['name']), text(key), str(v['vhid']), str(v.get('advbase', 0)), str(v.get('advskew', 0)),
              text(vips), text(v['srcip']), text(v['frame_hex']), text(v.get('counter_hex', '')),
              text(v.get('hmac_hex', '')), text(v.get('reject', ''))]
    return '        { ' + ', '.join(fields) + ' },'


print('typedef struct Vector { const char *name, *key_hex; unsigned vhid, advbase, advskew; const char *vips, *source, '
      '*frame_hex, *counter_hex, *digest_hex, *reject; } Vector;')
for name, path in (('vectors', sys.argv[1]), ('reject_vectors', sys.argv[2])):
    with open(path, encoding='utf-8') as f:
        rows = json.load(f)
    print(f'static const Vector {name}[] = {{')
    for v in rows:
        print(row(v))
    print('};')
