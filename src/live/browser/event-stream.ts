/**
 * The way to the bridge where WebSockets do not work: a request whose response stays open. PROTOCOL.md §9.3.
 *
 * It is loaded only there. There is no way back: whatever the page would say, it says by a new request.
 */
import type { Channel, ChannelEnd, ChannelEvents, Frame } from './channel.ts'

/** Opens an event stream with a hello. Whatever goes wrong comes as an end. */
export function openEventStream(url: URL, hello: Frame, events: ChannelEvents): Channel {
  const until = new AbortController()
  read(url, hello, events, until.signal)
    .catch((error): ChannelEnd => ({ detail: String(error) }))
    .then(events.ended)
  return { send: () => false, close: () => until.abort() }
}

async function read(
  url: URL,
  hello: Frame,
  { text }: ChannelEvents,
  signal: AbortSignal,
): Promise<ChannelEnd> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream' },
    body: JSON.stringify(hello),
    cache: 'no-store',
    signal,
  })
  if (!response.ok || response.body === null) return await readProblem(response)
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return {}
    const lines = (rest + value).split('\n')
    rest = lines.pop()!
    for (const line of lines) if (line.startsWith('data: ')) text(line.slice(6))
  }
}

/** A refused request says why in a problem document. */
async function readProblem(response: Response): Promise<ChannelEnd> {
  const { code, detail } = await response.json().catch(() => ({}))
  const seconds = Number(response.headers.get('retry-after'))
  return {
    status: response.status,
    code,
    detail: detail ?? response.statusText,
    retryAfterMs: seconds * 1000,
  }
}
