/**
 * What carries frames between page and bridge: a WebSocket here, or an event stream (event-stream.ts, loaded where it is needed).
 *
 * It hands texts on; what they mean, and when to connect, is decided elsewhere. PROTOCOL.md §9.3.
 */

/** A frame; who takes it looks at `type`, and leaves what it does not know. */
export interface Frame {
  readonly type: string
}

/** How a channel ended: by a close frame, by the WebSocket's own code, or by the problem document of a refused request. */
export interface ChannelEnd {
  readonly status?: number | undefined
  readonly code?: string | undefined
  readonly detail?: string | undefined
  readonly retryAfterMs?: number | undefined
}

export interface ChannelEvents {
  text(text: string): void
  /** May come after `close` too. */
  ended(end: ChannelEnd): void
}

export interface Channel {
  /** Sends a frame; `false` where the transport has no way back. */
  send(frame: Frame): boolean
  close(): void
}

/** Opens a WebSocket and says hello on it. Whatever goes wrong comes as an end. */
export function openWebSocket(url: URL, hello: Frame, { text, ended }: ChannelEvents): Channel {
  const socket = new WebSocket(url.href.replace(/^http/, 'ws'))
  const send = (frame: Frame): boolean => {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame))
    return true
  }
  socket.onopen = () => send(hello)
  socket.onmessage = ({ data }) => text(data)
  socket.onclose = ({ code, reason }) => ended({ status: code, code: reason })
  return { send, close: () => socket.close() }
}
