"""A live copy of a collection in Python, by PROTOCOL.md §6: baseline, messages in order, the feed where one is missing.

python3 follower.py http://127.0.0.1:8000/people 127.0.0.1:1883     prints each change, and after an empty line the whole copy
"""
import json, queue, sys, threading, time, urllib.error, urllib.parse, urllib.request
import paho.mqtt.client as mqtt

class Follower:
    """`copy` holds the states by path, `position` the number up to which everything is in it."""

    def __init__(self, url, broker, on_change=lambda message, state: None):
        self.root, _, self.stream = url.rstrip('/').rpartition('/')
        self.copy, self.versions, self.waiting, self.on_change = {}, {}, {}, on_change
        self.epoch, self.position, self.behind_since, self.heard = None, 0, None, queue.Queue()
        host, _, port = broker.partition(':')
        client = mqtt.Client(*([mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, 'CallbackAPIVersion') else []))
        client.on_connect = lambda client, *_: client.subscribe([(self.prefix + self.stream + '/#', 1), (f'{self.prefix}lockstep/head/{self.stream}', 1)])
        client.on_subscribe = lambda *_: self.heard.put(None)  # whatever was lost before this is in the feed
        client.on_message = lambda client, _, delivery: self.heard.put(delivery)
        self.prefix = self.get(f'/{self.stream}?limit=1')[0]['Lockstep-Topic'].removesuffix(self.stream)
        client.connect_async(host, int(port or 1883))
        client.loop_start()

    def get(self, target):
        request = urllib.request.Request(self.root + target, headers={'Accept': 'application/json', 'Accept-Language': '*'})
        with urllib.request.urlopen(request, timeout=10) as response: return response.headers, json.load(response)

    def take_baseline(self):  # 6.1, 6.8: the position is that of the first page
        target, copy, versions, marker = f'/{self.stream}?versions=true&limit=1000', {}, {}, None
        while target:
            headers, items = self.get(target)
            marker = marker or next(part for part in headers['Lockstep-Marker'].split(',') if part.startswith(f'{self.stream}:'))
            for state, version in zip(items, headers['Lockstep-Versions'].split(',')):
                path = f'/{self.stream}/{encode(state["id"])}'
                copy[path], versions[path] = state, int(version)
            links = [link for field in headers.get_all('Link') for link in field.split(', ') if 'rel="next"' in link]
            target = links and links[0][links[0].index('<') + 1:links[0].index('>')].removeprefix(urllib.parse.urlsplit(self.root).path)
        _, self.epoch, number = marker.split(':')
        self.position, self.copy, self.versions, self.waiting = int(number), copy, versions, {}

    def read_feed(self):  # 6.4, 6.5
        while True:
            try: _, page = self.get(f'/{self.stream}/_changes?after={self.epoch}:{self.position}')
            except urllib.error.HTTPError as error:
                if error.code != 410: raise
                return self.take_baseline()
            for message in page['changes']: self.apply(message)
            self.position = max(self.position, page['to'])
            if page['to'] >= page['head']: break
        self.drain()

    def take(self, message):  # 6.2: in the order of the numbers, each once
        _, epoch, number = message['id'].split(':')
        if epoch != self.epoch or message['event'] == 'reset': return self.take_baseline()
        if int(number) > self.position: self.waiting[int(number)] = message
        self.drain()

    def drain(self):
        while message := self.waiting.pop(self.position + 1, None):
            self.apply(message)
            self.position += 1
        self.waiting = {number: message for number, message in self.waiting.items() if number > self.position}
        self.behind_since = (self.behind_since or time.monotonic()) if self.waiting else None

    def apply(self, message):  # 6.3
        path, version, event = message['resource'], message.get('version', 0), message['event']
        if path.count('/') != 2 or version <= self.versions.get(path, 0): return
        if event == 'deleted': self.copy.pop(path, None)
        elif 'state' in message: self.copy[path] = message['state']
        elif 'changes' in message and self.versions.get(path) == version - 1: self.copy[path] = merge(self.copy[path], message['changes'])
        else:
            headers, self.copy[path] = self.get(path)
            version = int(headers['ETag'].strip('"').split('.')[1].split(';')[0])
        self.versions[path] = version
        self.on_change(message, self.copy.get(path))

    def run(self, stopped=threading.Event()):
        while not stopped.is_set():
            try:
                delivery = self.heard.get(timeout=0.25)
                if self.epoch is None: self.take_baseline()
                elif delivery is None: self.read_feed()
                if delivery is None: continue
                message = json.loads(delivery.payload)
                if delivery.topic.startswith(self.prefix + 'lockstep/head/'):  # 3.8: it may overtake what it covers, so wait a little
                    if message['epoch'] == self.epoch and message['seq'] > self.position: self.behind_since = self.behind_since or time.monotonic()
                else: self.take(message)
            except queue.Empty: pass
            except (OSError, ValueError, KeyError) as error: print(f'it is tried again: {error}', file=sys.stderr)
            if self.behind_since and time.monotonic() - self.behind_since > 0.25:
                self.behind_since = None
                try: self.read_feed()
                except OSError as error: print(f'it is tried again: {error}', file=sys.stderr)

def encode(text): return ''.join(c if c.isascii() and (c.isalnum() or c in '_-') else ''.join(f'%{b:02X}' for b in c.encode()) for c in text)

def merge(target, patch):  # RFC 7396
    if not isinstance(patch, dict): return patch
    before = target if isinstance(target, dict) else {}
    kept = {name: value for name, value in before.items() if name not in patch}
    return kept | {name: merge(before.get(name), value) for name, value in patch.items() if value is not None}

if __name__ == '__main__':
    follower = Follower(*sys.argv[1:3], lambda message, state: print(json.dumps([message['event'], message['resource'], message['version'], state]), flush=True))
    threading.Thread(target=follower.run, daemon=True).start()
    sys.stdin.read()  # until its end
    print('', json.dumps(follower.copy, sort_keys=True), sep='\n', flush=True)
