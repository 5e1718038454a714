/** A proxy before the API that only takes notes: what it is asked and answers, to propose what to mirror. Nothing of it is kept on disk. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { checkCount, createErrorReport, type Json, type ReportError } from '../contract/index.ts'
import { Upstream } from '../upstream/index.ts'
import { Forwarding, type Outcome } from './forwarding.ts'
import { findField } from './message-fields.ts'
import type { Proposal } from './proposal.ts'
import { TrafficNotes } from './traffic-notes.ts'

export interface LearningOptions {
  /** Where the API is. */
  readonly upstream: string
  /** @default 0: any free one */
  readonly port?: number
  /** @default '127.0.0.1' */
  readonly host?: string
  readonly onError?: ReportError
}

export interface Learning extends AsyncDisposable {
  readonly url: string
  /** What comes of the notes until now. */
  propose(): Proposal
  close(): Promise<void>
}

const maxKeptBytes = 1_048_576

/** Opens it. Errors: `invalid-option`. */
export async function openLearning(options: LearningOptions): Promise<Learning> {
  const report = createErrorReport(options.onError)
  const host = options.host ?? '127.0.0.1'
  const upstream = new Upstream(
    {
      name: 'API',
      instances: [options.upstream],
      health: undefined,
      retries: 0,
      maxConnections: 256,
      maxWaiting: 10_000,
      connectTimeoutMs: 5_000,
      headTimeoutMs: 300_000,
      idleTimeoutMs: 300_000,
      breaker: { failures: Number.MAX_SAFE_INTEGER },
    },
    report,
  )
  const notes = new TrafficNotes()
  const server = createServer((request, response) => {
    const target = request.url ?? '/'
    const method = request.method ?? 'GET'
    // What comes compressed cannot be read here.
    const { rawHeaders } = request
    for (let index = 0; index < rawHeaders.length; index += 2)
      if (/^accept-encoding$/i.test(rawHeaders[index]!)) rawHeaders[index + 1] = 'identity'
    new Forwarding(request, response, upstream, {
      target,
      host: request.headers.host,
      isWrite: false,
      answerFields: undefined,
      maxKeptBytes,
      onDone: outcome => {
        const { head } = outcome
        if (head === undefined) return
        const path = target.split('?', 1)[0]!
        notes.take({ method, path, status: head.status, answer: readAnswer(outcome) })
      },
    }).start()
  })
  server.listen(checkCount('port', options.port ?? 0, { min: 0, max: 65_535 }), host)
  await once(server, 'listening')
  upstream.start()
  const close = async (): Promise<void> => {
    server.close()
    server.closeAllConnections()
    await upstream.close(0)
  }
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${(server.address() as AddressInfo).port}`,
    propose: () => notes.propose(),
    close,
    [Symbol.asyncDispose]: close,
  }
}

function readAnswer({ head, answerBody }: Outcome): Json | undefined {
  if (answerBody === undefined || !/\bjson\b/i.test(findField(head!.fields, 'content-type') ?? ''))
    return undefined
  try {
    return JSON.parse(answerBody.toString('utf8'))
  } catch {
    return undefined
  }
}
