/**
 * A follower that holds a baseline, falls behind, and catches up by the feed: by hand, with the functions of the
 * contract only, as one would write it in another language; or with Lockstep's client.
 */

import type { Broker } from 'lockstep/broker'
import { type CollectionFollower, connect } from 'lockstep/client'
import { applyMergePatch, type JsonObject, parsePosition, readMessage } from 'lockstep/contract'
import { runProgram } from '../harness/program.ts'

export interface CatchUpOptions {
  readonly api: string
  readonly by: 'pages' | 'compact pages' | 'client'
}

export interface CatchUpResult {
  readonly seconds: number
  readonly resources: number
}

const pageLimit = 1_000

runProgram<CatchUpOptions>(async ({ api, by }) => {
  const copy = by === 'client' ? await followWithClient(api) : await followByHand(api, by === 'compact pages')
  return {
    commands: {
      async catchUp({ head }: { head: number }): Promise<CatchUpResult> {
        const startMs = performance.now()
        await copy.catchUp(head)
        const seconds = (performance.now() - startMs) / 1_000
        await compare(api, copy.states)
        return { seconds, resources: copy.states.size }
      },
    },
    close: copy.close,
  }
})

interface Copy {
  readonly states: ReadonlyMap<string, object>
  catchUp(head: number): Promise<void>
  close(): unknown
}

async function followByHand(api: string, compact: boolean): Promise<Copy> {
  const states = new Map<string, JsonObject>()
  const versions = new Map<string, number>()
  let epoch = ''
  let position = 0
  for (let url = `${api}/people?limit=${pageLimit}&versions=true`; url !== ''; ) {
    const response = await fetch(url)
    const marker = parsePosition(response.headers.get('lockstep-marker')!)
    if (epoch === '') position = marker.seq
    epoch = marker.epoch
    const pageVersions = response.headers.get('lockstep-versions')!.split(',').map(Number)
    for (const [index, state] of ((await response.json()) as JsonObject[]).entries()) {
      states.set(state['id'] as string, state)
      versions.set(state['id'] as string, pageVersions[index]!)
    }
    const next = /<([^>]*)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
    url = next === undefined ? '' : new URL(next, api).href
  }

  /** The rule of PROTOCOL.md §6.3 for a collection whose feed is complete. */
  const apply = (value: JsonObject): void => {
    const message = readMessage(value)
    if (message === undefined || message.event === 'reset') return
    parsePosition(message.id)
    const id = message.resource.slice('/people/'.length)
    const held = versions.get(id) ?? 0
    if (message.version <= held) return
    if (message.event === 'deleted') {
      states.delete(id)
      versions.delete(id)
      return
    }
    if (message.state !== undefined) states.set(id, message.state)
    else if (message.event === 'modified' && message.version === held + 1) {
      states.set(id, applyMergePatch(states.get(id), message.changes!) as JsonObject)
    } else throw new Error(`${message.id} does not follow version ${held}.`)
    versions.set(id, message.version)
  }

  return {
    states,
    async catchUp(head) {
      while (position < head) {
        const query = `after=${epoch}:${position}&limit=${pageLimit}${compact ? '&compact=true' : ''}`
        const page = (await (await fetch(`${api}/people/_changes?${query}`)).json()) as {
          to: number
          changes: JsonObject[]
        }
        for (const change of page.changes) apply(change)
        position = page.to
      }
    },
    close() {},
  }
}

/** Its broker is up but says nothing: what it misses it learns from the feed. */
async function followWithClient(api: string): Promise<Copy> {
  const broker: Broker = {
    connected: true,
    publish: async () => {},
    subscribe: async () => ({ close: async () => {}, [Symbol.asyncDispose]: async () => {} }),
    onConnection: () => () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
  const connection = await connect({ api, broker })
  const follower = connection.follow('/people') as CollectionFollower<object>
  await follower.ready
  const { stream, epoch } = follower.position!
  return {
    states: follower.state,
    catchUp: seq => follower.atLeast([{ stream, epoch, seq }], { timeoutMs: 60_000 }),
    close: () => connection.close(),
  }
}

/** A copy that is fast and wrong would be worth nothing. */
async function compare(api: string, states: ReadonlyMap<string, object>): Promise<void> {
  const ids = [...states.keys()]
  for (let index = 0; index < ids.length; index += Math.ceil(ids.length / 50)) {
    const id = ids[index]!
    const served = await (await fetch(`${api}/people/${id}`)).text()
    if (served.trim() !== JSON.stringify(states.get(id))) {
      throw new Error(`The copy of ${id} is ${JSON.stringify(states.get(id))}, the API says ${served}.`)
    }
  }
}
