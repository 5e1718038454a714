"""The state and the change log in one SQLite file, and the relay that publishes it. The numbers are rules of PROTOCOL.md."""
import json, os, re, secrets, sqlite3, threading, time
from contextlib import contextmanager
from datetime import datetime, timezone
import paho.mqtt.client as mqtt
from rules import Problem

LOCK, CHANGED = threading.RLock(), threading.Condition()
db = sqlite3.connect(os.environ.get('FILE', 'people.db'), check_same_thread=False, isolation_level=None)
db.executescript('''PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value);
    CREATE TABLE IF NOT EXISTS resource (path TEXT PRIMARY KEY, place TEXT, version INTEGER, state TEXT);
    CREATE TABLE IF NOT EXISTS change (seq INTEGER PRIMARY KEY, topic TEXT, resource TEXT, message TEXT);''')

@contextmanager
def transaction():  # state and change are written in one (7.1), and what is read in it is one snapshot (4.3)
    with LOCK:
        db.execute('BEGIN IMMEDIATE')
        try:
            yield
            db.execute('COMMIT')
        except BaseException:
            db.execute('ROLLBACK')
            raise

def rows(query, *values):
    with LOCK: return db.execute(query, values).fetchall()

def meta(name): return (rows('SELECT value FROM meta WHERE name = ?', name) or [(None,)])[0][0]
def head(): return rows('SELECT coalesce(max(seq), 0) FROM change')[0][0]
def clock(): return datetime.now(timezone.utc).isoformat(timespec='milliseconds').replace('+00:00', 'Z')

with transaction():
    if meta('epoch') is None or os.environ.get('NEW_EPOCH'):  # 7.5
        db.execute('DELETE FROM change')
        db.execute("REPLACE INTO meta VALUES ('epoch', ?), ('relayed', 0)", (secrets.token_hex(4),))
EPOCH = meta('epoch')

def read(path):
    version, state = (rows('SELECT version, state FROM resource WHERE path = ?', path) or [(0, None)])[0]
    return version, state and json.loads(state)

def must_read(path):  # 4.7
    version, state = read(path)
    if state is None: raise Problem(410 if version else 404, 'gone' if version else 'not-found', f'There is no {path}.')
    return version, state

def record(event, path, stored, cause, endpoint, **content):  # called in the transaction of the write
    version, seq = read(path)[0] + 1, head() + 1
    db.execute('REPLACE INTO resource VALUES (?, ?, ?, ?)', (path, path.rpartition('/')[0], version, stored and json.dumps(stored)))
    message = {'event': event, **content, 'resource': path, 'version': version, 'time': clock(), 'cause': cause}
    message['id'] = f'people:{EPOCH}:{seq}'
    db.execute('INSERT INTO change VALUES (?, ?, ?, ?)', (seq, endpoint[1:], path, json.dumps(message)))

def page(seq, under, limit):  # 5.4, 5.5: of the interval (seq, seq + limit]
    below = re.sub('[%_!]', r'!\g<0>', under) + '/%'
    return rows('''SELECT seq, message FROM change WHERE seq > ? AND seq <= ? AND (resource = ? OR resource LIKE ? ESCAPE '!')
        ORDER BY seq''', seq, seq + limit, under, below)

def head_message(): return json.dumps({'stream': 'people', 'epoch': EPOCH, 'seq': head(), 'first': 1, 'time': clock()})

def relay(client):  # 3.9: what was not acknowledged is published again, from the first one on
    while True:
        with CHANGED: CHANGED.wait_for(lambda: client.is_connected() and head() > meta('relayed'), 1)
        sent = []
        for seq, topic, text in rows('SELECT seq, topic, message FROM change WHERE seq > ? ORDER BY seq LIMIT 100', meta('relayed')):
            if len(text) > 65_536:  # 3.5
                text = json.dumps({**{k: v for k, v in json.loads(text).items() if k not in ('state', 'changes')}, 'ref': True})
            if client.is_connected(): sent.append((seq, client.publish(topic, text, qos=1)))
        for seq, publication in sent:
            try: publication.wait_for_publish(10)
            except (RuntimeError, ValueError): break
            if not publication.is_published(): break
            with transaction(): db.execute("REPLACE INTO meta VALUES ('relayed', ?)", (seq,))

def tell_heads(client):  # 3.8
    while True:
        if client.is_connected(): client.publish('lockstep/head/people', head_message(), qos=1, retain=True)
        time.sleep(5)

def start_relay(host, port):
    client = mqtt.Client(*([mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, 'CallbackAPIVersion') else []))
    def on_connect(*_):
        if os.environ.get('NEW_EPOCH'):  # 3.6
            reset = {'event': 'reset', 'resource': '/people', 'time': clock(), 'id': f'people:{EPOCH}:0'}
            client.publish('people', json.dumps(reset), qos=1)
        client.publish('lockstep/head/people', head_message(), qos=1, retain=True)
    client.on_connect = on_connect
    client.connect_async(host, port)
    client.loop_start()
    for work in (relay, tell_heads): threading.Thread(target=work, args=(client,), daemon=True).start()
