/**
 * A WebSocket on its way: the handshake goes to an instance as a request does, and once both sides agree their bytes
 * pass as they are. Where the service refuses, its answer goes to the client.
 */
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { isLockstepError, LockstepError } from '../contract/index.ts'
import {
  type Instance,
  openSocket,
  type ResponseHead,
  type ResponseSink,
  UpstreamConnection,
} from '../upstream/index.ts'
import type { ExchangeOptions } from './exchange.ts'
import { FrameBoundary } from './frame-boundary.ts'
import type { Incoming } from './incoming.ts'
import { makeResponseFields } from './response-fields.ts'
import { formatUpstreamHead } from './upstream-head.ts'

export interface TunnelOptions extends Omit<ExchangeOptions, 'tee'> {
  /** What came behind the handshake already. */
  readonly head: Buffer
}

/** Opens it and resolves when it has ended. Errors, while nothing was answered: `api-unreachable`, `timeout`, `api-refused`, `overloaded`. */
export async function runTunnel(
  request: IncomingMessage,
  client: Duplex,
  incoming: Incoming,
  options: TunnelOptions,
): Promise<void> {
  const { route } = options
  const { traffic, upstream } = route
  if (traffic.tunnels >= route.settings.maxTunnels) {
    throw new LockstepError(
      'overloaded',
      `${traffic.tunnels} connections to ${route.service} are open. Try again later.`,
    )
  }
  const instance = upstream.choose(performance.now())
  const framing = 'connection: upgrade\r\nupgrade: websocket\r\n'
  const head = formatUpstreamHead(incoming, { ...options, instance, framing })
  const countDown = count(instance, traffic)
  try {
    const { connectTimeoutMs, headTimeoutMs } = upstream.options
    const socket = await openSocket(instance.address, connectTimeoutMs)
    const owner = { onFree: (free: UpstreamConnection) => free.destroy(), onGone: () => {} }
    const connection = new UpstreamConnection(socket, owner)
    const timer = setTimeout(() => {
      connection.fail(new LockstepError('timeout', 'The service did not answer the handshake in time.'))
    }, headTimeoutMs)
    try {
      await shake(client, connection, head, { ...options, incoming, instance, request })
    } finally {
      clearTimeout(timer)
      connection.socket.destroy()
    }
  } catch (error) {
    countDown(isLockstepError(error, 'closed') ? undefined : false)
    throw error
  }
  countDown(true)
}

function count(instance: Instance, traffic: { tunnels: number }): (isWell: boolean | undefined) => void {
  instance.inFlight++
  instance.requests++
  traffic.tunnels++
  instance.breaker.begin()
  return isWell => {
    instance.inFlight--
    traffic.tunnels--
    if (isWell === false) instance.failures++
    instance.breaker.end(isWell, performance.now())
  }
}

interface Shaking extends TunnelOptions {
  readonly incoming: Incoming
  readonly instance: Instance
  readonly request: IncomingMessage
}

function shake(
  client: Duplex,
  connection: UpstreamConnection,
  head: string,
  options: Shaking,
): Promise<void> {
  const { route, responseHeaders, incoming, instance } = options
  return new Promise((resolve, reject) => {
    let status = 0
    const onGone = (): void => {
      connection.destroy()
      if (status === 0) reject(new LockstepError('closed', 'The client left.'))
      else resolve()
    }
    client.on('close', onGone)
    const formatHead = (answer: ResponseHead, more: string): string => {
      const frontOrigin = `${incoming.isTls ? 'https' : 'http'}://${incoming.host.toLowerCase()}`
      const fields = makeResponseFields(answer, {
        map: () => ({ own: route.own, byOrigin: route.byOrigin, frontOrigin }),
        instanceHost: instance.address.host,
        set: responseHeaders,
        notices: route.notices,
        requestId: incoming.id,
      })
      let text = `HTTP/1.1 ${answer.status} ${answer.reason}\r\n`
      for (let index = 0; index < fields.length; index += 2)
        text += `${fields[index]}: ${fields[index + 1]}\r\n`
      return `${text}${more}\r\n`
    }
    const sink: ResponseSink = {
      onHead(answer) {
        status = answer.status
        instance.breaker.end(true, performance.now())
        options.onDone(status, undefined)
        const more =
          status === 101 ? 'connection: Upgrade\r\nupgrade: websocket\r\n' : 'connection: close\r\n'
        client.write(formatHead(answer, more), 'latin1')
      },
      onBody(part) {
        if (client.write(part)) return
        connection.socket.pause()
        client.once('drain', () => connection.socket.resume())
      },
      onSettled() {},
      onDrain() {},
      onEnd() {
        client.end()
        resolve()
      },
      onFailure(error) {
        client.off('close', onGone)
        if (status === 0) reject(error)
        else {
          client.destroy()
          resolve()
        }
      },
      onUpgrade(rest) {
        client.off('close', onGone)
        const bytes = { rest, head: options.head, idleMs: route.upstream.options.idleTimeoutMs }
        const leave = splice(client, connection, bytes, () => {
          forget()
          resolve()
        })
        const end = (): void => void client.destroy()
        const forget = options.streams.add({ stillHolds: options.stillHolds, end, leave })
      },
    }
    connection.send('GET', head, sink, { isComplete: true, mayUpgrade: true })
    if (client.destroyed) onGone()
  })
}

interface Splice {
  readonly rest: Buffer
  readonly head: Buffer
  readonly idleMs: number
}

/** "Service restart" (1012), which a client comes back after. */
const closeFrame = Buffer.from([0x88, 0x02, 0x03, 0xf4])
const leaveWithinMs = 1_000

/** Lets bytes pass both ways until one side ends. Gives what ends both so that the client knows why. */
function splice(
  client: Duplex,
  { socket }: UpstreamConnection,
  { rest, head, idleMs }: Splice,
  done: () => void,
): () => void {
  const boundary = new FrameBoundary()
  let isLeaving = false
  const end = (): void => {
    client.destroy()
    socket.destroy()
    done()
  }
  const leaveNow = (): void => {
    socket.off('close', end).destroy()
    client.unpipe()
    client.end(closeFrame)
    client.resume()
  }
  const toClient = (part: Buffer): void => {
    boundary.take(part)
    if (!client.write(part)) socket.pause()
    if (isLeaving && boundary.isBetween) leaveNow()
  }
  if (rest.length > 0) toClient(rest)
  if (head.length > 0) socket.write(head)
  socket.setTimeout(idleMs, end)
  for (const side of [client, socket]) side.on('error', end).on('close', end)
  client.pipe(socket)
  client.on('drain', () => socket.resume())
  socket.on('data', toClient).on('end', () => client.end())
  return () => {
    if (isLeaving) return
    isLeaving = true
    const timer = setTimeout(end, leaveWithinMs)
    client.once('close', () => clearTimeout(timer))
    // In the middle of a frame nothing can be said.
    if (boundary.isBetween) leaveNow()
  }
}
