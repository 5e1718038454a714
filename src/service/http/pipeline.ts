/**
 * Requests that a client sends ahead on one connection: handled one after another, and only so many of them held.
 *
 * Behind an event stream they would wait for ever, so what is over the limit ends its connection: there is no place
 * for another answer in front of those that are not complete.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { LockstepError } from '../../contract/index.ts'

/** How many requests may wait behind others on their connection. */
const maxWaiting = { perConnection: 1_000, inAll: 10_000 }

interface Line {
  /** The response that is being made, or was made last. */
  current: ServerResponse
  readonly waiting: { readonly response: ServerResponse; readonly start: () => void }[]
}

export class Pipeline {
  readonly #lines = new WeakMap<Socket, Line>()
  #waiting = 0

  /** Calls `start` when the answers before this one are complete. Errors: `overloaded`, with which the connection ends. */
  add(socket: Socket, response: ServerResponse, start: () => void): void {
    const line = this.#lines.get(socket)
    if (line === undefined) {
      this.#open(socket, response)
      start()
      return
    }
    if (line.waiting.length === 0 && line.current.closed) {
      line.current = response
      start()
      return
    }
    if (line.waiting.length >= maxWaiting.perConnection || this.#waiting >= maxWaiting.inAll) {
      const where = line.waiting.length >= maxWaiting.perConnection ? 'on one connection' : 'in all'
      const count = Math.max(line.waiting.length, where === 'in all' ? this.#waiting : 0)
      socket.destroy()
      throw new LockstepError(
        'overloaded',
        `${count} requests ${where} were sent ahead of the answers to those before them. A client that waits for answers, or opens several connections, is served.`,
      )
    }
    this.#waiting++
    if (line.waiting.push({ response, start }) === 1)
      line.current.once('close', () => this.#goOn(socket, line))
  }

  #open(socket: Socket, response: ServerResponse): void {
    const line: Line = { current: response, waiting: [] }
    this.#lines.set(socket, line)
    // The responses that wait are not told of the end of their connection.
    socket.once('close', () => this.#drop(line))
  }

  #goOn(socket: Socket, line: Line): void {
    const next = line.waiting.shift()
    if (next === undefined) return
    this.#waiting--
    if (socket.destroyed) {
      this.#drop(line)
      return
    }
    line.current = next.response
    if (line.waiting.length > 0) next.response.once('close', () => this.#goOn(socket, line))
    next.start()
  }

  #drop(line: Line): void {
    this.#waiting -= line.waiting.splice(0).length
  }
}
