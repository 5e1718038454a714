/**
 * An application over SQLite with a mirror inside, as a program to be killed. A PUT with `x-die: before` ends it before its commit, with
 * `after` between its commit and the log, with `recorded` between the log and the answer.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { DatabaseSync } from 'node:sqlite'
import { openSqliteLog } from '../../src/log/index.ts'
import { createMirroredListener, openMirror } from '../../src/middleware/index.ts'
import { readJson } from './mirrored-app.ts'

const { FOLDER = '.', PORT = '0', ANSWERS = 'read' } = process.env
const database = new DatabaseSync(`${FOLDER}/app.db`)
database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS person (id TEXT PRIMARY KEY, value TEXT NOT NULL)`)
const save = database.prepare(
  'INSERT INTO person VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value',
)
const remove = database.prepare('DELETE FROM person WHERE id = ?')
const find = database.prepare('SELECT id, value FROM person WHERE id = ?')
const all = database.prepare('SELECT id, value FROM person')

const die = (): void => void process.kill(process.pid, 'SIGKILL')
const log = await openSqliteLog({ file: `${FOLDER}/mirror.db` })
const mirror = await openMirror({
  resources: {
    people: { read: id => find.get(id), readAll: () => all.all(), answers: ANSWERS as 'read' | 'whole' },
  },
  log,
  journalFile: `${FOLDER}/intents.txt`,
})
const listener = createMirroredListener(mirror, async (request, response) => {
  const id = request.url!.split('/')[2]!
  const when = request.headers['x-die']
  if (request.method === 'PUT') {
    const { value } = await readJson(request)
    if (when === 'before') die()
    save.run(id, String(value))
    if (when === 'after') die()
    if (when === 'recorded') log.onCommit(die)
  } else if (request.method === 'DELETE') remove.run(id)
  else if (request.url === '/people') return void response.end(JSON.stringify(all.all()))
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(find.get(id) ?? {}))
})
const server = createServer((request, response) => void listener(request, response))
await mirror.start()
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`up:${(server.address() as AddressInfo).port}`)
})
