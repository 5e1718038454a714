/** 4.3: a marker is a lower bound. Whatever is read while others write, folding the feed from its marker catches up. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { applyMergePatch, type Json, type JsonObject } from '../../src/contract/index.ts'
import { logKinds, openTestService, type TestService } from '../support/service.ts'

type Copy = Map<string, { version: number; state: Json | undefined }>

/** What a follower may do with the messages behind a marker: PROTOCOL.md 6.3. */
function fold(copy: Copy, changes: readonly JsonObject[]): void {
  for (const { event, resource, version, state, changes: patch } of changes) {
    const path = resource as string
    const held = copy.get(path)
    const heldVersion = held?.version ?? 0
    if ((version as number) <= heldVersion) continue
    if (event === 'deleted') copy.set(path, { version: version as number, state: undefined })
    else if (state !== undefined) copy.set(path, { version: version as number, state })
    else {
      assert.equal(heldVersion, (version as number) - 1, `${path}: a change is missing behind the marker`)
      copy.set(path, { version: version as number, state: applyMergePatch(held!.state!, patch!) })
    }
  }
}

interface Baseline {
  readonly marker: string
  readonly isList: boolean
  readonly copy: Copy
}

const versionOf = (etag: string): number => Number(/\.(\d+)"$/.exec(etag)![1])

async function readBaseline({ ask }: TestService, kind: number, id: string): Promise<Baseline> {
  const copy: Copy = new Map()
  if (kind === 0) {
    const { headers, json } = await ask('GET', '/people?limit=100&versions=true')
    const versions = headers.get('lockstep-versions')!.split(',')
    for (const [index, state] of json.entries())
      copy.set(`/people/${state.id}`, { version: Number(versions[index]), state })
    return { marker: headers.get('lockstep-marker')!, isList: true, copy }
  }
  const [method, body] = (
    [
      ['GET', undefined],
      ['PATCH', { age: kind }],
      ['PUT', { name: `N${kind}` }],
    ] as const
  )[kind % 3]!
  const { status, headers, json } = await ask(method, `/people/${id}`, { body })
  const isThere = status < 300
  copy.set(`/people/${id}`, {
    version: isThere ? versionOf(headers.get('etag')!) : 0,
    state: isThere ? json : undefined,
  })
  return { marker: headers.get('lockstep-marker') ?? '', isList: false, copy }
}

async function write({ ask }: TestService, kind: number, id: string, value: number): Promise<void> {
  const path = `/people/${id}`
  if (kind === 0) await ask('DELETE', path)
  else if (kind === 1)
    await ask('PUT', path, { body: { name: `N${value}`, address: { city: `${value}`, zip: 1 } } })
  else if (kind === 2) await ask('POST', '/people', { body: { id, name: `P${value}` } })
  else await ask('PATCH', path, { body: { age: value, address: { city: `${value % 3}` } } })
}

for (const logKind of logKinds) {
  test(`4.3 on the ${logKind} log the feed behind any marker leads from what was read to what there is`, async () => {
    const step = fc.record({ kind: fc.nat(8), id: fc.constantFrom('a', 'b', 'c'), value: fc.nat(99) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async steps => {
        await using api = await openTestService({ logKind })
        const baselines: Baseline[] = []
        // Reads fall between, into and onto the writes.
        await Promise.all(
          steps.map(async ({ kind, id, value }, index) => {
            for (let turn = value % 12; turn > 0; turn--) await new Promise(resolve => setImmediate(resolve))
            if (index % 2 === 0) baselines.push(await readBaseline(api, kind, id))
            else await write(api, kind % 4, id, value)
          }),
        )
        const list = (await api.ask('GET', '/people?limit=100')).json as JsonObject[]
        // A refused write tells no marker.
        for (const { marker, isList, copy } of baselines.filter(({ marker }) => marker !== '')) {
          const { json } = await api.ask('GET', `/people/_changes?after=${marker}&limit=10000`)
          fold(
            copy,
            json.changes.filter(({ resource }: JsonObject) => isList || copy.has(resource as string)),
          )
          const seen = [...copy].filter(([, { state }]) => state !== undefined).toSorted()
          const there = list.filter(({ id }) => isList || copy.has(`/people/${id}`))
          assert.deepEqual(
            seen.map(([, { state }]) => state),
            there,
            `from ${marker}`,
          )
        }
      }),
      { numRuns: logKind === 'memory' ? 100 : 25 },
    )
  })
}
