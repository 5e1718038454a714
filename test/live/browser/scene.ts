/** A whole system for a page in a real browser: a service, bridges that come and go, a server that renders, and a tab. */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { type Bridge, openBridge } from '../../../src/live/bridge.ts'
import type { BridgeOptions } from '../../../src/live/bridge-options.ts'
import { createStates } from '../../../src/live/browser/views.ts'
import { createBrowserFiles } from '../../../src/live/browser-files.ts'
import { createPages, type PageOptions, type Pages, type PagesOptions } from '../../../src/live/page.ts'
import type { Held } from '../../../src/live/tag.ts'
import type { ServiceOptions } from '../../../src/service/service.ts'
import { openTestService, type TestService } from '../../support/service.ts'
import { nameList } from './names-view.ts'

export interface Scene extends AsyncDisposable {
  readonly url: string
  readonly api: TestService
  readonly pages: Pages
  readonly context: BrowserContext
  /** How often the page was rendered. */
  readonly renderCount: number
  /** The bridge that takes pages now; `undefined`: none, and connections to it are cut. */
  bridge: Bridge | undefined
  /** Comes before each rendering; gives what the tag is, or `undefined` to let it be. */
  beforeRender: ((tag: string) => string | undefined | Promise<string | undefined>) | undefined
  /** Headers of the page. */
  headers: Record<string, string>
  /** How the page is rendered. */
  render: { states: boolean; script: boolean; body: string }
  openBridge(options?: Partial<BridgeOptions>): Promise<Bridge>
  /** Cuts every connection of the tab. */
  cut(): void
  openTab(): Promise<Page>
  /** Answers of the front server before all others. */
  answer: ((request: IncomingMessage, response: ServerResponse) => boolean) | undefined
}

export interface SceneOptions {
  readonly service?: Partial<ServiceOptions>
  readonly bridge?: Partial<BridgeOptions>
  readonly pages?: Partial<PagesOptions>
  readonly page?: PageOptions
  readonly context?: BrowserContextOptions
  readonly csp?: string
}

export const strictCsp =
  "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lockstep 'allow-duplicates'"

export async function openScene(browser: Browser, options: SceneOptions = {}): Promise<Scene> {
  const api = await openTestService(options.service)
  for (const [id, name] of [
    ['1', 'Ada'],
    ['2', 'Bob'],
  ]) {
    await api.ask('PUT', `/people/${id}`, { body: { name, email: `${id}@example.com`, age: 10 } })
  }
  const files = createBrowserFiles()
  const sources = [{ api: api.service, streams: ['people', 'projects'] }]
  const pages = createPages({ sources, ...options.pages })
  const sockets = new Set<Socket>()
  const errors: unknown[] = []
  const bridges: Bridge[] = []

  async function answerPage(response: ServerResponse): Promise<void> {
    scene.renderCount++
    const { states, script, body } = scene.render
    const page = await pages.read({ people: '/people', projects: '/projects' }, { states, ...options.page })
    const tag = (await scene.beforeRender?.(page.tag)) ?? page.tag
    const { held } = page
    const csp = { 'content-security-policy': options.csp ?? strictCsp }
    response.writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      ...csp,
      ...page.headers,
      ...scene.headers,
    })
    response.end(
      `<!doctype html><html lang="en"><title>Test</title>${fill(body, held)}${tag}${
        script ? '<script type="module" src="/page.js"></script>' : ''
      }</html>`,
    )
  }

  const server = createServer((request, response) => {
    if (scene.answer?.(request, response) || files.handle(request, response)) return
    const url = request.url ?? ''
    if (url.startsWith('/live')) {
      if (!scene.bridge?.handle(request, response)) request.socket.destroy()
    } else if (url === '/page.js') answerScript(response, pageScript)
    else if (url === '/names-view.js') answerScript(response, namesScript)
    else if (/^\/(\?|$)/.test(url)) {
      answerPage(response).catch(error => {
        errors.push(error)
        response.writeHead(500).end()
      })
    } else
      response
        .writeHead(url === '/other' ? 200 : 404, { 'content-type': 'text/html' })
        .end('<title>Other</title>')
  })
  server.on('upgrade', (request, socket, head) => {
    if (!scene.bridge?.upgrade(request, socket, head)) socket.destroy()
  })
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const context = await browser.newContext(options.context)

  const scene: Scene & { renderCount: number } = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    api,
    pages,
    context,
    renderCount: 0,
    bridge: undefined,
    beforeRender: undefined,
    headers: {},
    answer: undefined,
    render: { states: true, script: true, body: defaultBody },
    async openBridge(more = {}) {
      const bridge = await openBridge({
        sources,
        access: 'public',
        onError: error => errors.push(error),
        ...options.bridge,
        ...more,
      })
      bridges.push(bridge)
      return bridge
    },
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    async openTab() {
      const tab = await context.newPage()
      tab.on('pageerror', error => errors.push(error))
      await tab.goto(scene.url)
      return tab
    },
    async [Symbol.asyncDispose]() {
      await context.close()
      await Promise.all(bridges.map(bridge => bridge.close()))
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
      await api[Symbol.asyncDispose]()
      assert.deepEqual(errors, [])
    },
  }
  scene.bridge = await scene.openBridge()
  return scene
}

/** Waits until the page says so. */
export async function untilStatus(tab: Page, name: string): Promise<void> {
  await tab.waitForFunction(wanted => (window as never as TestWindow).page?.status.name === wanted, name)
}

export async function untilText(tab: Page, selector: string, text: string): Promise<void> {
  await tab.waitForFunction(
    ([wanted, expected]) => document.querySelector(wanted!)?.textContent === expected,
    [selector, text],
  )
}

/** What the page's script leaves for tests. */
export interface TestWindow {
  readonly page: {
    status: { name: string; reason: string; changes: number }
    marker: string
    refresh(): Promise<void>
  }
  readonly changes: { event: string; path: string; version: number; state?: { name?: string } }[]
  readonly statuses: string[]
  readonly errors: string[]
}

export function read<T>(tab: Page, look: (window: TestWindow) => T): Promise<T> {
  return tab.evaluate(`(${look})(window)`) as Promise<T>
}

const defaultBody = `<live-status></live-status>
<h1 data-live="/people/1#/name title=/people/1#/email">{name}</h1>
<div data-live-path="/people/1"><progress max="100" value="10" data-live="value=#/age"></progress>
<input id="field" value="{name}" data-live="#/name"><a href="/" data-live="href=#/name">link</a></div>
<ul data-live-view="names" data-live-path="/people">{names}</ul>`

function fill(body: string, held: Readonly<Record<string, Held>>): string {
  const name = String(held['/people/1']?.state?.['name'] ?? 'Ada')
  return body.replaceAll('{name}', name).replace('{names}', nameList(createStates(held), '/people').text)
}

const namesScript = `import { html } from '/live/views.js'
export ${nameList}`

const pageScript = `import { live } from '/live/live.js'
import { createViews } from '/live/views.js'
import { Idiomorph } from '/live/idiomorph.js'
import { nameList } from '/names-view.js'
window.changes = []
window.statuses = []
window.errors = []
window.page = live({
  views: createViews({ names: nameList }, { morph: Idiomorph.morph }),
  onChange: change => changes.push(change),
  onStatus: ({ name, reason }) => statuses.push(reason ? name + ' ' + reason : name),
  onError: (error, { stage }) => errors.push(stage + ': ' + error.code + ' ' + error.message + (error.stack ?? '')),
})`

function answerScript(response: ServerResponse, text: string): void {
  response.writeHead(200, { 'content-type': 'text/javascript; charset=utf-8' }).end(text)
}
