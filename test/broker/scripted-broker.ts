/** A broker that does what a test tells it to, to see what a connection makes of silence, delay and refusal. */
import { createServer, type Socket } from 'node:net'
import { type Broker, type ConnectMqttOptions, connectMqtt } from '../../src/broker/index.ts'
import { Reports } from '../support/reports.ts'
import { createPacketSplitter } from './raw-client.ts'

export interface ScriptedBroker extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** Ends all connections. */
  cut(): void
  readonly connections: number
}

/** Answers to packets. */
export const answers = {
  accept: Buffer.from([0x20, 2, 0, 0]),
  /** MQTT 5 with a Receive Maximum of 1. */
  acceptOneInFlight: Buffer.from([0x20, 6, 0, 0, 3, 0x21, 0, 1]),
  refuse: (code: number): Buffer => Buffer.from([0x20, 2, 0, code]),
  granted: (subscribe: Buffer, codes: readonly number[]): Buffer =>
    Buffer.from([0x90, 2 + codes.length, subscribe[2]!, subscribe[3]!, ...codes]),
  unsubscribed: (unsubscribe: Buffer): Buffer => Buffer.from([0xb0, 2, unsubscribe[2]!, unsubscribe[3]!]),
  pong: Buffer.from([0xd0, 0]),
} as const

/** Calls `onPacket` with the type of each packet that arrives, and the packet. */
export function openScriptedBroker(
  onPacket: (type: number, packet: Buffer, socket: Socket) => void,
): Promise<ScriptedBroker> {
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer(socket => {
    connections++
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    const split = createPacketSplitter()
    socket.on('data', chunk => {
      for (const packet of split(chunk)) onPacket(packet[0]! >> 4, packet, socket)
    })
  })
  const cut = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      resolve({
        url: `mqtt://127.0.0.1:${port}`,
        port,
        cut,
        get connections() {
          return connections
        },
        [Symbol.asyncDispose]: () =>
          new Promise(closed => {
            server.close(() => closed())
            cut()
          }),
      })
    })
  })
}

/** Types of packets. */
export const connect = 1
export const publish = 3
export const subscribe = 8
export const unsubscribe = 10

/** The acknowledgement of a QoS 1 message to a topic of one character. */
export function puback(packet: Buffer): Buffer {
  // Header 2, topic 3, id 2.
  return Buffer.from([0x40, 2, packet[5]!, packet[6]!])
}

/** Connects with short waits, and keeps what is reported. */
export async function open(
  url: string | readonly string[],
  options: ConnectMqttOptions = {},
): Promise<Broker & { reports: Reports }> {
  const reports = new Reports()
  const retry = { minDelayMs: 2, maxDelayMs: 20 }
  return Object.assign(await connectMqtt(url, { onError: reports.onError, retry, ...options }), { reports })
}
