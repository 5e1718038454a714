/** A client that speaks MQTT 3.1.1 byte by byte, so that tests can do what no decent client does. */
import { connect, type Socket } from 'node:net'

export interface RawClient extends AsyncDisposable {
  readonly socket: Socket
  send(bytes: Uint8Array): void
  /** Resolves with the next packet of this type, whole; rejects when the connection ends before. */
  packet(type: number): Promise<Buffer>
  /** Resolves when the broker has closed the connection. */
  readonly closed: Promise<void>
}

export const packetTypes = { connack: 2, publish: 3, puback: 4, suback: 9, pingresp: 13 } as const

export function openRawClient(port: number): Promise<RawClient> {
  const socket = connect(port, '127.0.0.1')
  const split = createPacketSplitter()
  const packets: Buffer[] = []
  let wake = (): void => {}
  let ended = false
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()))
  closed.then(() => {
    ended = true
    wake()
  })
  socket.on('error', () => {})
  socket.on('data', chunk => {
    packets.push(...split(chunk))
    wake()
  })

  const client: RawClient = {
    socket,
    closed,
    send: bytes => void socket.write(bytes),

    async packet(type) {
      for (;;) {
        const index = packets.findIndex(packet => packet[0]! >> 4 === type)
        if (index !== -1) return packets.splice(0, index + 1)[index]!
        if (ended) throw new Error(`the connection ended before a packet of type ${type} came`)
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    },

    async [Symbol.asyncDispose]() {
      socket.destroy()
      await closed
    },
  }
  return new Promise((resolve, reject) => {
    socket.once('connect', () => resolve(client))
    socket.once('error', reject)
  })
}

/** Cuts a stream of bytes into packets. */
export function createPacketSplitter(): (chunk: Buffer) => Buffer[] {
  let buffer: Buffer = Buffer.alloc(0)
  return chunk => {
    const packets: Buffer[] = []
    buffer = Buffer.concat([buffer, chunk])
    for (
      let size = packetSize(buffer);
      size !== undefined && size <= buffer.length;
      size = packetSize(buffer)
    ) {
      packets.push(buffer.subarray(0, size))
      buffer = buffer.subarray(size)
    }
    return packets
  }
}

export interface RawConnect {
  readonly clientId?: string
  readonly clean?: boolean
  readonly keepaliveSeconds?: number
  readonly username?: string
  readonly password?: string
  readonly will?: { readonly topic: string; readonly payload: string; readonly retain?: boolean }
  readonly protocolLevel?: number
}

export function connectPacket(options: RawConnect = {}): Buffer {
  const { clientId = '', clean = true, keepaliveSeconds = 0, username, password, will } = options
  const flags =
    (clean ? 0x02 : 0) |
    (will === undefined ? 0 : 0x0c | (will.retain === true ? 0x20 : 0)) |
    (username === undefined ? 0 : 0x80) |
    (password === undefined ? 0 : 0x40)
  return packet(0x10, [
    text('MQTT'),
    Buffer.from([options.protocolLevel ?? 4, flags, keepaliveSeconds >> 8, keepaliveSeconds & 0xff]),
    text(clientId),
    ...(will === undefined ? [] : [text(will.topic), text(will.payload)]),
    ...(username === undefined ? [] : [text(username)]),
    ...(password === undefined ? [] : [text(password)]),
  ])
}

export function subscribePacket(filters: readonly string[], qos = 1, messageId = 1): Buffer {
  return packet(0x82, [uint16(messageId), ...filters.flatMap(filter => [text(filter), Buffer.from([qos])])])
}

export function unsubscribePacket(filters: readonly string[], messageId = 2): Buffer {
  return packet(0xa2, [uint16(messageId), ...filters.map(text)])
}

export function publishPacket(topic: string, payload: string, qos = 1, messageId = 3): Buffer {
  const id = qos === 0 ? [] : [uint16(messageId)]
  return packet(0x30 | (qos << 1), [text(topic), ...id, Buffer.from(payload)])
}

export const disconnectPacket: Buffer = Buffer.from([0xe0, 0])
export const pingPacket: Buffer = Buffer.from([0xc0, 0])

/** Fixed header and remaining length (MQTT 3.1.1 §2.2), before the parts. */
export function packet(first: number, parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const header = [first]
  let rest = body.length
  do {
    header.push((rest % 128) | (rest >= 128 ? 0x80 : 0))
    rest = Math.floor(rest / 128)
  } while (rest > 0)
  return Buffer.concat([Buffer.from(header), body])
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([uint16(bytes.length), bytes])
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}

/** The size of the packet at the start, where its header is there. */
function packetSize(buffer: Buffer): number | undefined {
  let length = 0
  for (let index = 1; index < buffer.length && index < 5; index++) {
    const byte = buffer[index]!
    length += (byte & 0x7f) * 128 ** (index - 1)
    if (byte < 0x80) return length + index + 1
  }
  return undefined
}
