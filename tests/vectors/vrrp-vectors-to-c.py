#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turns captured VRRP adverts into a table that a C test can include: vrrp-vectors-to-c.py VECTORS.json > HEADER"""
import json
import sys

print('typedef struct VrrpVector { const char *name; unsigned version, vrid; const char *source, *frame_hex; } VrrpVector;')
print('static const VrrpVector vrrp_vectors[] = {')
with open(sys.argv[1], encoding='utf-8') as f:
    for v in json.load(f):
        print(f'        {{ "{v["name"]}", {v["version"]}, {v["vrid"]}, "{v["srcip"]}", "{v["frame_hex"]}" }},')
print('};')
