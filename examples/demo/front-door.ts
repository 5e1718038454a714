/** The front door: the pages of the demo, rendered here and kept live by a bridge on the same port. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { html } from 'lockstep/live/views'
import { renderDashboard } from './pages/dashboard.ts'
import { renderGap } from './pages/gap.ts'
import { contentSecurityPolicy, renderPage } from './pages/layout.ts'
import { renderPeople, renderPerson } from './pages/people.ts'
import { renderServices } from './pages/services.ts'
import { isFromHere, savePerson } from './person-form.ts'
import { drawPicture } from './pictures.ts'
import type { Site } from './site.ts'

export interface FrontDoor {
  readonly url: string
  /** Serves the pages, once there is something to show; until then they say that it starts. */
  show(site: Site): void
  close(): Promise<void>
}

/** Opens the front door. Fails with a clear sentence where the port is taken. */
export async function openFrontDoor({ host, port }: { host: string; port: number }): Promise<FrontDoor> {
  let site: Site | undefined
  const server = createServer((request, response) => {
    answer(request, response, site).catch(error => {
      if (response.headersSent) response.destroy()
      else
        sendPage(
          response,
          502,
          renderFailure('A service does not answer. Try again in a moment.', { detail: error.message }),
        )
    })
  })
  server.on('upgrade', (request, socket, head) => {
    if (!site?.bridge.upgrade(request, socket, head)) socket.destroy()
  })
  server.listen(port, host)
  await once(server, 'listening').catch(error => {
    throw error.code === 'EADDRINUSE'
      ? new Error(
          `Port ${port} on ${host} is taken. Stop the program that listens there, or choose another port.`,
        )
      : error
  })
  return {
    url: `http://${host}:${(server.address() as AddressInfo).port}`,
    show(opened) {
      site = opened
    },
    async close() {
      await site?.bridge.close()
      server.closeAllConnections()
      await new Promise(done => server.close(done))
    },
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  site: Site | undefined,
): Promise<void> {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost')
  if (pathname === '/style.css') return send(response, 200, 'text/css', readStyle())
  const [, id] = /^\/people\/([^/]+)$/.exec(pathname) ?? []
  const [, picture] = /^\/pictures\/([\w-]+)\.svg$/.exec(pathname) ?? []
  if (picture !== undefined) return answerPicture(response, picture)
  if (site === undefined)
    return sendPage(response, 503, renderFailure('The services are starting. Try again in a moment.'))
  if (site.bridge.handle(request, response) || site.files.handle(request, response)) return
  if (request.method === 'POST' && id !== undefined) return await answerForm(request, response, site, id)
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return sendPage(response, 405, renderFailure('This page can be read only.'))
  }
  if (pathname === '/log/builds')
    return await answerLog(response, `${site.services['builds']}/builds/_changes`)
  const page = await renderPath(pathname, id, site)
  if (page === undefined)
    sendPage(response, 404, renderFailure('There is nothing here.', { title: 'Not found' }))
  else sendPage(response, 200, page)
}

async function renderPath(pathname: string, id: string | undefined, site: Site): Promise<string | undefined> {
  switch (pathname) {
    case '/':
      return await renderDashboard(site)
    case '/people':
      return await renderPeople(site)
    case '/mind-the-gap':
      return await renderGap(site)
    case '/services':
      return renderServices(site)
  }
  return id === undefined ? undefined : await renderPerson(site, decodeURIComponent(id))
}

/** A script asks for JSON and stays on the page; a plain form is led back to it. */
async function answerForm(
  request: IncomingMessage,
  response: ServerResponse,
  { services }: Site,
  id: string,
): Promise<void> {
  if (!isFromHere(request))
    return sendPage(response, 403, renderFailure('Forms of other sites are not taken.'))
  const { status, body } = await savePerson(`${services['users']}/users/${id}`, request)
  if (request.headers.accept?.includes('application/json')) {
    response.writeHead(status, { 'content-type': 'application/problem+json', 'cache-control': 'no-store' })
    response.end(body)
  } else if (status === 204) response.writeHead(303, { location: `/people/${id}` }).end()
  else sendPage(response, status, renderFailure(String(JSON.parse(body).detail)))
}

function answerPicture(response: ServerResponse, id: string): void {
  response.setHeader('cache-control', 'max-age=3600')
  send(response, 200, 'image/svg+xml', drawPicture(id))
}

/** The log as it grows, for the drawing of it. */
async function answerLog(response: ServerResponse, url: string): Promise<void> {
  const ended = new AbortController()
  response.once('close', () => ended.abort())
  const feed = await fetch(url, { headers: { accept: 'text/event-stream' }, signal: ended.signal })
  response.writeHead(feed.status, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  await pipeline(Readable.fromWeb(feed.body as never), response).catch(() => {
    // The page has gone, or the service; the page opens it again by itself.
  })
}

let style: string | undefined
function readStyle(): string {
  style ??= readFileSync(new URL('./pages/style.css', import.meta.url), 'utf8')
  return style
}

function renderFailure(text: string, { title = 'Not now', detail = '' } = {}): string {
  return renderPage({
    title,
    path: '',
    body: html`<h1>${text}</h1>
    ${detail === '' ? '' : html`<p class="soft">${detail}</p>`}
    <p><a href="/">To the dashboard</a></p>`,
  })
}

function sendPage(response: ServerResponse, status: number, page: string): void {
  response.setHeader('content-security-policy', contentSecurityPolicy)
  response.setHeader('cache-control', 'private, no-cache')
  response.setHeader('referrer-policy', 'same-origin')
  send(response, status, 'text/html', page)
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, {
    'content-type': `${type}; charset=utf-8`,
    'x-content-type-options': 'nosniff',
  })
  response.end(response.req.method === 'HEAD' ? undefined : text)
}
