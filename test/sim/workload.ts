/** What the writers of a simulation do: every value is unique, so that any value on a screen is traced to one write. */
import type { Ledger } from './ledger.ts'
import type { SimLink } from './network.ts'
import type { Runtime } from './runtime.ts'
import { people, projects, type SimService } from './service.ts'

export interface WriteCounts {
  acknowledged: number
  refused: number
  /** No answer came: both outcomes are right. */
  unknown: number
}

export interface WriterParts {
  readonly runtime: Runtime
  readonly service: SimService
  readonly ledger: Ledger
  readonly link: SimLink
  readonly counts: WriteCounts
  readonly tell: (line: string) => void
  readonly name: string
  readonly isRunning: () => boolean
}

const ids = ['hot', 'hot', 'hot', 'late', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']

export async function runWriter(parts: WriterParts): Promise<void> {
  const { runtime, counts, isRunning, name, tell } = parts
  for (let count = 0; isRunning(); count++) {
    await runtime.sleep(runtime.between(5, runtime.chance(0.2) ? 1_500 : 200))
    const value = `${name}.${count}`
    try {
      const status = runtime.chance(0.05)
        ? await writeInProcess(parts, value)
        : await writeOverHttp(parts, value)
      if (status < 400) counts.acknowledged++
      else counts.refused++
    } catch {
      counts.unknown++
      tell(`${name} knows nothing of ${value}`)
    }
  }
}

async function writeOverHttp(
  { runtime, service, link, ledger, tell, name }: WriterParts,
  value: string,
): Promise<number> {
  const id = runtime.pick(ids)
  const collection = runtime.pick(['/people', '/people', '/people', '/projects', '/people/hot/notes'])
  const dice = runtime.random()
  // Now and then one that is too large for a message: it goes out as a reference.
  const text = runtime.chance(0.05) ? value.padEnd(600, '.') : value
  // A null in a state is what no merge patch can say.
  const tags = { [value]: runtime.chance(0.2) ? { none: null } : '1' }
  const body = JSON.stringify(dice < 0.45 ? { name: text } : { name: text, tags })
  const headers: Record<string, string> = { 'content-type': 'application/json' }
  if (runtime.chance(0.1)) headers['if-match'] = runtime.chance(0.5) ? '*' : '"other.1"'
  const request = chooseRequest(dice, collection, id, body)
  if (request.type !== undefined) headers['content-type'] = request.type
  const response = await link.fetch(`http://api${request.path}`, {
    method: request.method,
    headers,
    body: request.body,
    signal: AbortSignal.timeout(5_000),
  })
  const text2 = await response.text()
  const marker = response.headers.get('lockstep-marker')
  tell(`${name} ${request.method} ${request.path} ${response.status} ${marker} ${text2}`)
  const code = response.status === 503 ? (JSON.parse(text2) as { code: string }).code : undefined
  // A database that is away, or gone back, may be said to be; what was not written MUST NOT turn up.
  if (code === 'log-failed' && service.mayFail) ledger.refuse(`"${value}"`)
  else if (code === 'outcome-unknown' && service.mayFail) throw new Error(code)
  else if (response.status >= 500)
    ledger.violations.push(`${request.method} ${request.path} was answered with ${response.status}: ${text2}`)
  checkAcknowledged(ledger, response, request.path, id)
  return response.status
}

interface WriteRequest {
  readonly method: string
  readonly path: string
  readonly body?: string
  readonly type?: string
}

function chooseRequest(dice: number, collection: string, id: string, body: string): WriteRequest {
  const path = `${collection}/${id}`
  if (dice < 0.05) {
    // Only a JSON Patch can put a null into a state that is there.
    const { name } = JSON.parse(body) as { name: string }
    const operations = [{ op: 'add', path: '/tags', value: { none: null, name } }]
    return { method: 'PATCH', path, body: JSON.stringify(operations), type: 'application/json-patch+json' }
  }
  if (dice < 0.45) return { method: 'PATCH', path, body }
  if (dice < 0.7) return { method: 'PUT', path, body }
  if (dice < 0.85)
    return { method: 'POST', path: collection, body: JSON.stringify({ ...JSON.parse(body), id }) }
  return { method: 'DELETE', path }
}

/** An acknowledged write is in the log: the version that the answer names is known. */
function checkAcknowledged(ledger: Ledger, response: Response, path: string, id: string): void {
  const tag = response.headers.get('etag')
  if (!response.ok || tag === null) return
  const [epoch, version] = tag.slice(1, -1).split('.') as [string, string]
  const resource = path.endsWith(`/${id}`) ? path : `${path}/${id}`
  const stream = path.split('/', 2)[1]!
  for (const entry of ledger.at(stream, epoch, Number.MAX_SAFE_INTEGER)) {
    if (entry.path === resource && entry.version >= Number(version)) return
  }
  ledger.violations.push(`lost: ${resource} ${tag} was acknowledged and is not in the log`)
}

async function writeInProcess({ runtime, service, tell, name }: WriterParts, value: string): Promise<number> {
  if (!service.isUp) throw new Error('down')
  const count = runtime.pick([2, 3, 8])
  const { marker } = await service.transaction(async tx => {
    for (let index = 0; index < count; index++) {
      await tx.put(index % 2 === 0 ? people : projects, runtime.pick(ids), { name: `${value}.${index}` })
    }
  })
  tell(`${name} wrote ${count} at once ${marker.map(({ seq }) => seq).join()}`)
  return 200
}
