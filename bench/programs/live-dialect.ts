/**
 * How each peer is spoken to: what opens a connection, when it is ready, where messages stand in its frames, and how one goes on after it was cut off.
 *
 * The messages themselves are the same for all: Lockstep's, numbered without a hole. Their numbers are read from the bytes where they lie.
 */

/** What a dialect needs of a connection. */
export interface Speaker {
  /** Which of all connections it is. */
  readonly index: number
  /** The number of the message that comes next. */
  next: number
  /** What lets this one, and no other, go on: a session of Socket.IO. */
  session: string
  /** Where it goes on, if it was cut off and comes back: what {@link Dialect.place} was when it began to. */
  readonly place: string | undefined
  ready(): void
  send(text: string): void
  /** Counts the message that begins here and gives where it ends. Errors: where it is not the one that comes next. */
  message(bytes: Buffer, start: number, end: number): number
}

export interface Dialect {
  path(speaker: Speaker): string
  /** A header of the handshake, with its line break. */
  readonly header?: string
  /** A path that is asked for on the same connection before the handshake. */
  readonly before?: string
  /** What says where all are. @default the number of the next message */
  place?(): string
  /** The connection has become a WebSocket. */
  opened(speaker: Speaker): void
  /** A text frame, whole. */
  text(speaker: Speaker, bytes: Buffer, start: number, end: number): void
}

const brace = 0x7b
const digit0 = 0x30

/** The number whose digits end here; -1 where there are none. */
export function readNumber(bytes: Buffer, end: number): number {
  let number = 0
  let at = end - 1
  for (let power = 1; isDigit(bytes[at]!); at--, power *= 10) number += (bytes[at]! - digit0) * power
  return at === end - 1 ? -1 : number
}

function isDigit(byte: number): boolean {
  return byte >= digit0 && byte < digit0 + 10
}

function unexpected(what: string, bytes: Buffer, start: number, end: number): Error {
  return new Error(`${what}: ${bytes.toString('latin1', start, Math.min(end, start + 200))}`)
}

/** Each frame is one message. */
export function speakPlain(before?: string): Dialect {
  return {
    path: () => '/live',
    ...(before === undefined ? {} : { before }),
    opened: speaker => speaker.ready(),
    text(speaker, bytes, start, end) {
      if (speaker.message(bytes, start, end) !== end)
        throw unexpected('More than a message', bytes, start, end)
    },
  }
}

/** Nchan with `ws+meta.nchan`: the id of each message stands before it, and the last one in the URL of one that comes back. */
export function speakNchanWithIds(): Dialect {
  let newest = 0
  let place = ''
  return {
    path: speaker =>
      speaker.place === undefined ? '/live' : `/live?last_event_id=${encodeURIComponent(speaker.place)}`,
    header: 'Sec-WebSocket-Protocol: ws+meta.nchan\r\n',
    place: () => place,
    opened: speaker => speaker.ready(),
    text(speaker, bytes, start, end) {
      speaker.message(bytes, bytes.indexOf(brace, start), end)
      if (speaker.next <= newest) return
      newest = speaker.next
      place = /^id: (\S+)\n/.exec(bytes.toString('latin1', start, start + 100))![1]!
    },
  }
}

/** Socket.IO over Engine.IO 4: `0` opens, `40` connects, `42` is an event; the last text of an event is its offset. */
export function speakSocketIo(): Dialect {
  let newest = 0
  let offset = ''
  return {
    path: () => '/socket.io/?EIO=4&transport=websocket',
    place: () => offset,
    opened() {},
    text(speaker, bytes, start, end) {
      if (bytes[start] === 0x32) speaker.send('3')
      else if (bytes[start] === 0x30) {
        const { session, place } = speaker
        speaker.send(place === undefined ? '40' : `40${JSON.stringify({ pid: session, offset: place })}`)
      } else if (bytes[start] !== 0x34) throw unexpected('No packet', bytes, start, end)
      else if (bytes[start + 1] === 0x30) {
        const { pid } = JSON.parse(bytes.toString('latin1', start + 2, end))
        if (speaker.place !== undefined && pid !== speaker.session)
          throw new Error('The session was not recovered.')
        speaker.session = pid
        speaker.ready()
      } else if (bytes[start + 1] === 0x32) {
        const after = speaker.message(bytes, bytes.indexOf(brace, start), end)
        if (speaker.next <= newest) return
        newest = speaker.next
        offset = /^,"(.*)"]$/.exec(bytes.toString('latin1', after, end))?.[1] ?? ''
      } else throw unexpected('No event', bytes, start, end)
    },
  }
}

export interface LockstepHello {
  readonly marker: string
  /** By the index of the connection. */
  readonly tickets: readonly string[]
}

const messagesMark = Buffer.from('"messages":[')
const comma = 0x2c

/** Lockstep's own frames. PROTOCOL.md §9. */
export function speakLockstep({ marker, tickets }: LockstepHello): Dialect {
  const epoch = marker.replace(/\d+$/, '')
  function interval(speaker: Speaker, bytes: Buffer, start: number, end: number): void {
    const mark = bytes.indexOf(messagesMark, start)
    // The numbers are contiguous and `to` is the last: counting the messages proves both.
    const to = readNumber(bytes, mark - 1)
    let at = mark + messagesMark.length
    while (bytes[at] === brace) {
      at = speaker.message(bytes, at, end)
      if (bytes[at] === comma) at++
    }
    if (speaker.next !== to + 1) throw unexpected('An interval with a hole', bytes, start, end)
  }
  return {
    path: () => '/live',
    opened(speaker) {
      const hello = {
        type: 'hello',
        protocol: 1,
        marker: `${epoch}${speaker.next - 1}`,
        ticket: tickets[speaker.index],
      }
      speaker.send(JSON.stringify(hello))
    },
    text(speaker, bytes, start, end) {
      // The first letter of the type.
      const type = bytes[start + 9]
      if (type === 0x69) interval(speaker, bytes, start, end)
      else if (type === 0x6c) speaker.ready()
      else if (type === 0x70) speaker.send('{"type":"pong"}')
      else if (type !== 0x77) throw unexpected('Neither interval, live, ping nor welcome', bytes, start, end)
    },
  }
}
