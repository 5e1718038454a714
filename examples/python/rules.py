"""The rules of PROTOCOL.md that need no state: ids and paths, JSON, merge patches. The numbers in comments are theirs."""
import json, re, unicodedata
from decimal import Decimal
from urllib.parse import unquote_to_bytes

class Problem(Exception):  # 4.9
    def __init__(self, status, code, detail='', **more):
        self.status, self.body = status, {'title': code, 'status': status, 'code': code, 'detail': detail, **more}

def text_of(value): return json.dumps(value, sort_keys=True)  # two values are equal where these are
def normal(text): return unicodedata.normalize('NFC', text)

def encode(segment, status=400, code='invalid-path'):  # 2.4, 2.5
    segment = normal(segment)
    if segment in ('', '.', '..') or re.search('[\x00-\x1f\x7f-\x9f\ud800-\udfff]', segment) or len(segment.encode()) > 512:
        raise Problem(status, code, f'{segment[:40]!r} cannot be a part of a path.')
    return ''.join(chr(byte) if re.match('[A-Za-z0-9_-]', chr(byte)) else f'%{byte:02X}' for byte in segment.encode())

def decode(raw):
    try: return normal(unquote_to_bytes(raw).decode())
    except ValueError: raise Problem(400, 'invalid-path', f'{raw[:40]!r} is not percent-encoded UTF-8.')

def number(text):  # 4.10
    value = float(text)
    if value in (float('inf'), float('-inf')) or Decimal(text) != Decimal(repr(value)):
        raise Problem(422, 'unsafe-number', f'{text} would be stored as {value!r}.')
    return int(value) if value.is_integer() else value

def refuse(text): raise ValueError(f'{text} is no JSON')
def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, (dict, list)) + max(map(depth, inner), default=0)

def parse(body):
    try: value = json.loads(body, parse_float=number, parse_int=number, parse_constant=refuse)
    except ValueError as error: raise Problem(400, 'invalid-json', f'The body is no JSON: {error}.')
    if depth(value) > 60: raise Problem(422, 'json-too-deep', 'Nest at most 60 levels.')
    if isinstance(value, dict): return value
    raise Problem(422, 'invalid-state', 'It is no object.', faults=[{'pointer': '', 'detail': 'must be an object'}])

def merge(target, patch):  # RFC 7396
    if not isinstance(patch, dict): return patch
    before = target if isinstance(target, dict) else {}
    kept = {name: value for name, value in before.items() if name not in patch}
    return kept | {name: merge(before.get(name), value) for name, value in patch.items() if value is not None}

def difference(before, after):
    patch = {name: None for name in before if name not in after}
    for name, value in after.items():
        old, both = before.get(name), isinstance(before.get(name), dict) and isinstance(value, dict)
        if name not in before or text_of(old) != text_of(value): patch[name] = difference(old, value) if both else value
    return patch
