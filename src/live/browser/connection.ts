/** Drives the connection machine: opens and closes channels, and keeps its timer. */
import { type Channel, type ChannelEnd, type ChannelEvents, type Frame, openWebSocket } from './channel.ts'
import {
  type ConnectionEvent,
  type ConnectionState,
  stepConnection,
  unconnected,
} from './connection-machine.ts'

export interface ConnectionOptions {
  url(): URL
  /** What is said first on each channel, and again to begin anew; what comes before, such as a new ticket, is waited for. */
  hello(): Promise<Frame>
  onFrame(frame: Frame): void
  /** The channel ended: dispatch `lost`, or what else is right. */
  onEnd(end: ChannelEnd): void
  onState(): void
  onError(error: unknown): void
}

export class Connection {
  /** How long the bridge may be silent. */
  silenceMs = 45_000
  readonly #options: ConnectionOptions
  #state: ConnectionState = unconnected
  #channel: Channel | undefined
  /** Counts the channels, so that one that was given up is not heard any more. */
  #count = 0
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  get state(): ConnectionState {
    return this.#state
  }

  dispatch(event: ConnectionEvent): void {
    const inputs = { now: performance.now(), random: Math.random(), silenceMs: this.silenceMs }
    const [state, ...actions] = stepConnection(this.#state, event, inputs)
    this.#state = state
    for (const action of actions) {
      if (action === 'disconnect') {
        this.#count++
        this.#channel?.close()
        this.#channel = undefined
      } else if (action === 'connect') this.#attempt(() => this.#connect())
      else this.rejoin()
    }
    // With each frame the timer would cost more than the frame: it comes early and is set again then.
    if (event.type === 'heard') return
    clearTimeout(this.#timer)
    const wake = (): void => this.dispatch({ type: 'wake' })
    if (state.wakeAt < Infinity) this.#timer = setTimeout(wake, state.wakeAt - performance.now())
    this.#options.onState()
  }

  send(frame: Frame): boolean {
    return this.#channel?.send(frame) ?? false
  }

  /** Says hello again, now: on the same channel where it has a way back, else on a new one. */
  rejoin(): void {
    this.#attempt(async () => {
      const hello = await this.#options.hello()
      if (this.#state.phase === 'open') {
        if (!this.send(hello)) this.dispatch({ type: 'again' })
      } else this.dispatch({ type: 'start' })
    })
  }

  async #connect(): Promise<void> {
    const count = ++this.#count
    const hello = await this.#options.hello()
    const { transport } = this.#state
    const open = transport === 'sse' ? (await import('./event-stream.ts')).openEventStream : openWebSocket
    if (count !== this.#count) return
    let farewell: ChannelEnd | undefined
    const takeText = (text: string): void => {
      const frame: Frame & ChannelEnd = JSON.parse(text)
      this.dispatch({ type: 'heard' })
      if (frame.type === 'close') farewell = frame
      else this.#options.onFrame(frame)
    }
    const events: ChannelEvents = {
      text: text => count === this.#count && this.#attempt(async () => takeText(text)),
      ended: end => count === this.#count && this.#options.onEnd(farewell ?? end),
    }
    this.#channel = open(this.#options.url(), hello, events)
  }

  /** What fails here makes the connection useless. */
  #attempt(act: () => Promise<void>): void {
    const count = this.#count
    act().catch(error => {
      this.#options.onError(error)
      if (count === this.#count) this.dispatch({ type: 'lost' })
    })
  }
}
