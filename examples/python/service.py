"""A mirrored API in Python: people and their notes, written by the rules of PROTOCOL.md; the numbers in comments are theirs.

PORT=8000 BROKER=127.0.0.1:1883 FILE=people.db python3 service.py     (NEW_EPOCH=1 once, after a backup was restored)
"""
import json, os, re, secrets, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit
from log import CHANGED, EPOCH, LOCK, head, head_message, must_read, page, read, record, rows, start_relay, transaction
from rules import Problem, decode, difference, encode, merge, normal, parse, text_of

KINDS = {1: {'name': str, 'email': str, 'age': int}, 3: {'text': str}}  # by depth: /people and /people/{id}/notes
REQUIRED = {1: 'name', 3: 'text'}
FOREIGN = '_sort _order _limit _per_page _page _start _end _embed _expand'.split()  # parameters elsewhere, 4.12

class Handler(BaseHTTPRequestHandler):
    protocol_version, wbufsize, disable_nagle_algorithm = 'HTTP/1.1', -1, True
    def log_message(self, *_): pass

    def handle_any(self):
        self.more = {'X-Request-Id': self.headers.get('X-Request-Id') or secrets.token_urlsafe(12)}  # 4.11
        self.body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        try: self.answer(*self.route())
        except Problem as problem: self.answer(problem.status, problem.body, 'application/problem+json')
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def answer(self, status, value, kind='application/json'):
        if status is None: return
        data = b'' if status in (204, 304) else json.dumps(value).encode()
        if data: self.more |= {'Content-Type': kind, 'Content-Length': len(data)}
        if status == 503: self.more['Retry-After'] = 1
        self.begin(status, {'Cache-Control': 'no-cache', **self.more})
        self.wfile.write(b'' if self.command == 'HEAD' else data)

    def begin(self, status, headers):
        self.send_response(status)
        for name, text in headers.items(): self.send_header(name, str(text))
        self.end_headers()

    def route(self):
        url = urlsplit(self.path)
        query, reading = dict(parse_qsl(url.query, keep_blank_values=True)), self.command in ('GET', 'HEAD')
        segments = [decode(raw) for raw in url.path.split('/')[1:]]
        path, self.reading = ''.join(f'/{encode(segment)}' for segment in segments), reading
        if segments[0] != 'people' or segments[2:3] not in ([], ['notes']) or len(segments) > 4:
            raise Problem(404, 'not-found', f'There is nothing at {path}.')
        self.more |= {'Lockstep-Topic': path[1:], 'Link': '</people/_changes>; rel="changes"'}  # 4.2
        is_feed, is_list = reading and segments[1:] == ['_changes'], len(segments) % 2 == 1
        known = ('after', 'limit', 'under') if is_feed else ('after', 'limit', 'versions') if is_list and reading else ()
        for name in query:  # 4.12
            if name in FOREIGN or not (name in known or name.startswith('_')):
                raise Problem(400, 'invalid-query', f'{name!r} is not known here.')
        limit = query.get('limit', '500')
        if not re.fullmatch('[1-9][0-9]{0,2}|1000', limit): raise Problem(400, 'invalid-query', 'limit is from 1 to 1000.')
        if is_feed: return self.feed(query, int(limit))
        if any(segment.startswith('_') for segment in segments): raise Problem(404, 'not-found', 'It is reserved.')  # 2.6
        if not reading and (self.command == 'POST') != is_list: raise Problem(405, 'method-not-allowed', 'Not here.')
        try:
            with transaction(): return self.act(path, segments, query, int(limit))
        finally:
            with CHANGED: CHANGED.notify_all()

    def act(self, path, segments, query, limit):
        try:
            if len(segments) > 2: must_read('/'.join(path.split('/')[:3]))
            if not self.reading: return self.write(path, segments)
            return self.read_list(path, query, limit) if len(segments) % 2 else self.read_one(path)
        finally: self.more['Lockstep-Marker'] = f'people:{EPOCH}:{head()}'  # 4.3

    def check(self, path, tag):  # RFC 9110 §13; where something is written, any variant names its version (10.3)
        for name in ('If-Match', 'If-None-Match'):
            field, strong = self.headers.get(name, '').strip(), name == 'If-Match'
            tags = re.findall(r'(W/)?"([^"]*)"', field)
            if field and field != '*' and (not tags or re.sub(r'(W/)?"[^"]*"|[\s,]', '', field)):
                raise Problem(400, 'invalid-condition', f'{name} is neither * nor a list of entity tags.')
            plain = [own if self.reading else own.split(';')[0] for weak, own in tags if not (weak and strong)]
            if field and strong != (tag is not None and (field == '*' or tag.strip('"') in plain)):
                raise Problem(304 if self.reading and not strong else 412, 'precondition-failed', f'{path} is at {tag}.')

    def read_one(self, path):
        version, state = must_read(path)
        self.more['ETag'] = f'"{EPOCH}.{version}"'  # 4.4
        self.check(path, self.more['ETag'])
        return 200, state

    def read_list(self, path, query, limit):  # 4.8
        found = rows('''SELECT path, version, state FROM resource WHERE place = ? AND state IS NOT NULL AND path > ?
            ORDER BY path LIMIT ?''', path, f'{path}/{encode(query["after"])}' if 'after' in query else '', limit + 1)
        self.more['ETag'] = f'"{EPOCH}.s{head()}{"".join(f";{name}={encode(text)}" for name, text in query.items() if text)}"'
        self.check(path, self.more['ETag'])
        more = ''.join(f'&{name}={encode(query[name])}' for name in ('limit', 'versions') if query.get(name))
        if query.get('versions') == 'true': self.more['Lockstep-Versions'] = ','.join(str(row[1]) for row in found[:limit])
        if len(found) > limit: self.more['Link'] += f', <{path}?after={found[limit - 1][0].rpartition("/")[2]}{more}>; rel="next"'
        return 200, [json.loads(row[2]) for row in found[:limit]]

    def write(self, path, segments):
        method, place, cause, kind = self.command, path, self.more['X-Request-Id'], len(segments) - (len(segments) + 1) % 2
        version, before = read(path)
        if method != 'POST': self.check(path, None if before is None else f'"{EPOCH}.{version}"')
        if method in ('PATCH', 'DELETE'): must_read(path)
        if method == 'DELETE':  # 3.10, 3.4
            below = [row[0] for row in rows('SELECT path FROM resource WHERE place = ? AND state IS NOT NULL', f'{path}/notes')]
            tx = {'tx': {'id': secrets.token_hex(6), 'n': len(below) + 1}} if below else {}
            for each in (*below, path): record('deleted', each, None, cause, each, **tx)
            return 204, None
        kinds = ('application/json', 'application/merge-patch+json') if method == 'PATCH' else ('application/json',)
        if self.headers.get_content_type() not in kinds or 'Content-Type' not in self.headers:
            raise Problem(415, 'unsupported-media-type', f'Send {" or ".join(kinds)}.')
        sent = parse(self.body)
        own = sent.get('id', secrets.token_hex(8)) if method == 'POST' else segments[-1]
        if not isinstance(own, str) or own.startswith('_'): raise Problem(422, 'invalid-id', 'An id is a text without _ before it.')
        if method == 'POST': path, own = f'{place}/{encode(own, 422, "invalid-id")}', normal(own)
        after = merge(before, sent) if method == 'PATCH' else {**sent, 'id': own} if method == 'POST' else {'id': own, **sent}
        if after.get('id') != own: raise Problem(422, 'invalid-id', 'The id never changes.')  # 4.1
        if method == 'POST' and read(path)[1]: raise Problem(409, 'already-exists', f'{path} is there already.')
        faults = [f'/{name}' for name, known in KINDS[kind].items() if name in after and type(after[name]) is not known]
        if REQUIRED[kind] not in after: faults.append(f'/{REQUIRED[kind]}')
        if faults:
            listed = [{'pointer': pointer, 'detail': 'is missing or of another type'} for pointer in faults]
            raise Problem(422, 'invalid-state', f'{faults[0]} is missing or of another type.', faults=listed)
        if before is None or text_of(before) != text_of(after):  # 3.3
            patch = difference(before or {}, after)
            exact = method == 'PATCH' and text_of(merge(before, patch)) == text_of(after) and len(text_of(patch)) < len(text_of(after))
            content = {'changes': patch} if exact else {'state': after}  # 3.2
            record('created' if before is None else 'modified', path, after, cause, place, **content)
        self.more |= {'ETag': f'"{EPOCH}.{read(path)[0]}"', 'Location': path, 'Lockstep-Topic': path[1:]}
        return 201 if before is None else 200, after

    def feed(self, query, limit):  # 5.4
        events = 'text/event-stream' in self.headers.get('Accept', '')
        asked = (events and self.headers.get('Last-Event-ID')) or query.get('after', 'now' if events else 'earliest')
        epoch, seq = (EPOCH, 0 if asked == 'earliest' else head()) if asked in ('earliest', 'now') else (None, 0)
        if epoch is None:
            found = re.fullmatch('(?:people:)?([A-Za-z0-9]{1,32}):(0|[1-9][0-9]{0,14})', asked)
            if not found: raise Problem(400, 'invalid-position', f'{asked[:60]!r} is no position.')
            epoch, seq = found[1], int(found[2])
        if epoch != EPOCH: raise Problem(410, 'position-gone', 'It is of another epoch.', marker=f'people:{EPOCH}:{head()}')  # 5.7
        with CHANGED: CHANGED.wait_for(lambda: head() >= seq, 1)
        if head() < seq: raise Problem(503, 'position-ahead', 'It is ahead of this service.')  # 5.8
        parts = [encode(decode(part)) for part in query.get('under', '/people').split('/')[1:]]
        if parts[0] != 'people' or parts[2:3] not in ([], ['notes']): raise Problem(404, 'not-found', 'under= leads nowhere.')
        under = '/' + '/'.join(parts)
        if events: return self.events(seq, under)
        with transaction(): told, last = page(seq, under, limit), head()
        to = min(seq + limit, last)
        self.more['Cache-Control'] = 'no-store'  # 5.10
        return 200, {'stream': 'people', 'epoch': EPOCH, 'after': seq, 'to': to, 'head': last, 'first': 1,
                     'changes': [json.loads(message) for _, message in told]}

    def events(self, seq, under):  # 5.9
        self.close_connection = True
        self.begin(200, {**self.more, 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'Connection': 'close'})
        while True:
            with LOCK: told, last, head_text = page(seq, under, 500), head(), head_message()
            for at, message in told: self.wfile.write(f'id: people:{EPOCH}:{at}\ndata: {message}\n\n'.encode())
            seq = min(seq + 500, last)
            if seq < last: continue
            self.wfile.write(f'event: head\nid: people:{EPOCH}:{seq}\ndata: {head_text}\n\n'.encode())
            self.wfile.flush()
            with CHANGED: CHANGED.wait_for(lambda: head() > seq, 5)

class Server(ThreadingHTTPServer):
    def handle_error(self, request, address):  # whoever asked may have gone
        if not isinstance(sys.exc_info()[1], OSError): super().handle_error(request, address)

start_relay(*(lambda host, _, port: (host, int(port or 1883)))(*os.environ.get('BROKER', '127.0.0.1:1883').partition(':')))
server = Server(('127.0.0.1', int(os.environ.get('PORT', 8000))), Handler)
print(f'http://127.0.0.1:{server.server_port}/people', flush=True)
server.serve_forever()
