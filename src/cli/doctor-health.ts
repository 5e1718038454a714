/** What `lockstep doctor` learns from the service itself: `GET {root}/health`. PROTOCOL.md §4.17. */
import { isJsonObject, type JsonObject } from 'lockstep/contract'
import type { ApiPlace } from './api-place.ts'
import { askApi } from './api-request.ts'
import { type Headers, tryToParse } from './doctor-api.ts'
import type { Check } from './doctor-check.ts'
import { explain } from './failure.ts'
import { count } from './first-row.ts'
import { printable } from './terminal.ts'

const advice: Readonly<Record<string, string>> = {
  'broker-unreachable': 'Start the broker; what was written meanwhile is published then.',
  'relay-stalled': 'The broker takes nothing: read its log and its limits.',
}

/** Does the service say that it is well? A service need not say anything. */
export async function checkHealth({ root }: ApiPlace, headers: Headers): Promise<Check> {
  const name = 'health'
  try {
    const { response, text } = await askApi({ url: `${root}/health`, headers })
    const health = tryToParse(text)
    if (![200, 503].includes(response.status) || !isJsonObject(health) || !isJsonObject(health['streams']))
      return { name, status: 'skipped', detail: 'the service does not tell it' }
    const { status, reasons } = health
    const broker = describeBroker(health)
    if (status === 'ok') return { name, status: 'ok', detail: `the service says ok; ${broker}` }
    const why = (Array.isArray(reasons) ? reasons : []).map(reason => printable(String(reason)))
    const known = why.find(reason => Object.hasOwn(advice, reason))
    return {
      name,
      status: 'failed',
      detail: `the service says ${printable(String(status))} (${why.join(', ')}); ${broker}`,
      next: known === undefined ? "Read the service's log." : advice[known],
    }
  } catch (error) {
    return { name, status: 'failed', detail: explain(error), next: "Read the service's log." }
  }
}

function describeBroker({ broker, streams }: JsonObject): string {
  if (!isJsonObject(broker)) return 'it has no broker'
  const lag = Object.values(streams as JsonObject)
    .map(stream => (isJsonObject(stream) ? Number(stream['lag']) : 0))
    .reduce((sum, each) => sum + each, 0)
  const state = broker['connected'] === true ? 'connected' : 'not connected'
  return `its broker is ${state}, ${lag === 0 ? 'and nothing waits' : `and ${count(lag, 'change')} ${lag === 1 ? 'waits' : 'wait'}`} to be published`
}
