/** Counts what bridges tell: they say what they have counted from their start on, and here it is added up for the process. */
import type { BridgeMessage } from '../contract/index.ts'
import type { Labels, Metrics, Sample } from './metrics-port.ts'

type Counted = Extract<BridgeMessage, { event: 'counted' }>

/** The counts that become metrics; those with a label have one number for each of its values. */
const counted: readonly {
  readonly count: string
  readonly name: string
  readonly help: string
  readonly label?: string
}[] = [
  { count: 'accepted', name: 'accepted', help: 'Connections of pages that were taken.' },
  { count: 'refused', name: 'refused', help: 'Connections of pages that were turned away.', label: 'code' },
  { count: 'closed', name: 'closed', help: 'Connections that the bridge ended.', label: 'code' },
  { count: 'messages', name: 'messages', help: 'Messages that were handed to connections.' },
  { count: 'bytes', name: 'bytes', help: 'Bytes that were handed to connections.' },
  { count: 'fills', name: 'fills', help: 'Pages that were older than the backlog.' },
  { count: 'feedReads', name: 'feed_reads', help: 'Reads of the feed.' },
  { count: 'holds', name: 'holds', help: 'Pages that were told that they may be behind.' },
  { count: 'slow', name: 'slow', help: 'Pages that took nothing for a while.' },
  { count: 'refreshes', name: 'refreshes', help: 'Pages that had to begin anew.', label: 'reason' },
]

export function countBridges(metrics: Metrics): (message: BridgeMessage) => void {
  const last = new Map<number, Counted>()
  const live = new Map<number, Map<string, boolean>>()
  const adders = counted.map(({ count, name, help, label }) => {
    const labels = label === undefined ? [] : [label]
    const add = metrics.counter({ name: `lockstep_bridge_${name}_total`, help, labels })
    return (before: Counted | undefined, now: Counted): void => {
      for (const [value, labelled] of readCounts(now, count, label)) {
        const known = readCounts(before, count, label).find(([, other]) => same(other, labelled))
        const by = value - (known?.[0] ?? 0)
        if (by > 0) add(labelled, by)
      }
    }
  })
  const pages = { name: 'lockstep_bridge_pages', help: 'Pages that are connected.', labels: ['transport'] }
  metrics.gauge(pages, () =>
    (['websocket', 'events'] as const).map(transport => ({
      labels: { transport },
      value: sum([...last.values()].map(({ connections }) => connections[transport])),
    })),
  )
  const waiting = {
    name: 'lockstep_bridge_waiting_pages',
    help: 'Pages that wait until the bridge has what they have, or knows what they miss.',
    labels: ['stream'],
  }
  metrics.gauge(waiting, () => sampleStreams(last.values(), ({ waiting }) => waiting))
  const streams = {
    name: 'lockstep_bridge_stream_live',
    help: 'Do all bridges of the process have all of the stream? 1 or 0.',
    labels: ['stream'],
  }
  metrics.gauge(streams, () => sampleLive(live.values()))
  return message => {
    const { event, bridge } = message
    if (event === 'counted') {
      for (const add of adders) add(last.get(bridge), message)
      // Connections and counts are the bridge's own and change under our hands.
      last.set(bridge, structuredClone(message))
    } else if (event === 'stream') {
      const own = live.get(bridge) ?? new Map()
      live.set(bridge, own.set(message.stream, message.isLive))
    } else {
      last.delete(bridge)
      live.delete(bridge)
    }
  }
}

function readCounts(
  message: Counted | undefined,
  count: string,
  label: string | undefined,
): readonly (readonly [value: number, labels: Labels])[] {
  const value = message?.counts[count] ?? 0
  if (typeof value === 'number') return label === undefined ? [[value, {}]] : []
  return Object.entries(value).map(([code, by]) => [by, { [label!]: code }])
}

function same(one: Labels, other: Labels): boolean {
  return Object.entries(one).every(([name, value]) => other[name] === value)
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0)
}

function sampleStreams(
  messages: Iterable<Counted>,
  read: (message: Counted) => Readonly<Record<string, number>>,
): readonly Sample[] {
  const totals = new Map<string, number>()
  for (const message of messages) {
    for (const [stream, value] of Object.entries(read(message)))
      totals.set(stream, (totals.get(stream) ?? 0) + value)
  }
  return [...totals].map(([stream, value]) => ({ labels: { stream }, value }))
}

function sampleLive(bridges: Iterable<ReadonlyMap<string, boolean>>): readonly Sample[] {
  const all = new Map<string, boolean>()
  for (const streams of bridges) {
    for (const [stream, isLive] of streams) all.set(stream, (all.get(stream) ?? true) && isLive)
  }
  return [...all].map(([stream, isLive]) => ({ labels: { stream }, value: Number(isLive) }))
}
