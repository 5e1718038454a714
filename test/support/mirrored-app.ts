/** A small application whose data is its own business, with its routes in bare `node:http`, and mirrors of it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'

export type State = Record<string, unknown>

/** Listens on any free port until the end of the test. */
export async function listen(
  t: TestContext,
  listener: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<string> {
  const server = createServer((request, response) => void listener(request, response))
  return await listenWith(t, server)
}

export async function listenWith(t: TestContext, server: Server): Promise<string> {
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export async function readJson(request: IncomingMessage): Promise<State> {
  let text = ''
  for await (const part of request.setEncoding('utf8')) text += part as string
  return text === '' ? {} : (JSON.parse(text) as State)
}

/** What a request does to the data, told by each framework in its own way. */
export class People {
  readonly rows = new Map<string, State>()
  /** How many writes were made. */
  writes = 0
  #lastId = 0
  /** Awaited by each write after it has been made, before it is answered. */
  pause: Promise<void> | undefined

  async create(given: State): Promise<State> {
    this.#lastId++
    const id = String(given['id'] ?? this.#lastId)
    return await this.put(id, given)
  }

  async put(id: string, given: State): Promise<State> {
    const state = { id, ...given }
    this.rows.set(id, state)
    this.writes++
    await this.pause
    return state
  }

  async patch(id: string, given: State): Promise<State | undefined> {
    const before = this.rows.get(id)
    return before === undefined ? undefined : await this.put(id, { ...before, ...given })
  }

  async remove(id: string): Promise<boolean> {
    const isGone = this.rows.delete(id)
    await this.pause
    return isGone
  }
}

/** The routes over the people: `/people` and `/people/{id}`. */
export function peopleRoutes(people: People) {
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const [, collection, id] = new URL(request.url!, 'http://localhost').pathname
      .split('/')
      .map(decodeURIComponent)
    const send = (status: number, body?: unknown): void => {
      if (body === undefined) response.writeHead(status).end()
      else response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    if (collection !== 'people') return send(404)
    const { method } = request
    if (id === undefined) {
      if (method === 'GET') return send(200, [...people.rows.values()])
      const state = await people.create(await readJson(request))
      response.setHeader('location', `/people/${encodeURIComponent(String(state['id']))}`)
      return send(201, state)
    }
    if (method === 'GET') {
      const state = people.rows.get(id)
      return state === undefined ? send(404) : send(200, state)
    }
    if (method === 'DELETE') return send((await people.remove(id)) ? 204 : 404)
    const given = await readJson(request)
    if (given['name'] === 42) return send(422, { error: 'no name' })
    const state = method === 'PUT' ? await people.put(id, given) : await people.patch(id, given)
    return state === undefined ? send(404) : send(200, state)
  }
}

export async function send(
  method: string,
  url: string,
  body?: object,
  headers: Record<string, string> = {},
): Promise<Response> {
  return await fetch(url, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}
