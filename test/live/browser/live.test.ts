/** Pages in a real Chromium, on real bridges: what arrives, what is mended, and what is left to the user. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import test, { after, before } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { createTickets } from '../../../src/live/ticket.ts'
import { skipWithoutChromium, startChromium } from '../../support/chromium.ts'
import { eventually } from '../../support/service.ts'
import { openScene, read, type Scene, type SceneOptions, untilStatus, untilText } from './scene.ts'

const skip = skipWithoutChromium
let browser: Browser
before(async () => {
  if (!skip) browser = await startChromium({ ignoreDefaultArgs: ['--disable-back-forward-cache'] })
})
after(() => browser?.close())

function patch(scene: Scene, body: object, id = '1'): Promise<unknown> {
  return scene.api.ask('PATCH', `/people/${id}`, { body })
}

function refreshes(tab: Page): Promise<string[]> {
  return read(tab, window => window.statuses.filter(status => status.includes('refresh')))
}

/** Opens a tab and waits until it is live. */
async function openLiveTab(
  options: SceneOptions = {},
): Promise<{ scene: Scene; tab: Page } & AsyncDisposable> {
  const scene = await openScene(browser, options)
  const tab = await scene.openTab()
  await untilStatus(tab, 'live')
  return { scene, tab, [Symbol.asyncDispose]: () => scene[Symbol.asyncDispose]() }
}

test('a change between rendering and connection arrives, and changes after it', { skip }, async () => {
  await using scene = await openScene(browser)
  scene.beforeRender = async () => {
    await patch(scene, { name: 'Between' })
    return undefined
  }
  const tab = await scene.openTab()
  await untilText(tab, 'h1', 'Between')
  await untilStatus(tab, 'live')
  await patch(scene, { name: 'After', age: 50 })
  await untilText(tab, 'h1', 'After')
  await untilText(tab, '#person-1', 'After')
  assert.equal(await tab.getAttribute('progress', 'value'), '50')
  assert.equal(await tab.inputValue('#field'), 'After')
  assert.deepEqual(await read(tab, window => window.errors), [])
  const versions = await read(tab, window => window.changes.map(({ version }) => version))
  assert.deepEqual(versions, [2, 3])
})

test('the changes of an outage of 30 s arrive, each once, and the page says that it was stale', {
  skip,
}, async () => {
  await using scene = await openScene(browser)
  const tab = await scene.context.newPage()
  await tab.clock.install()
  await tab.goto(scene.url)
  await untilStatus(tab, 'live')
  const { bridge } = scene
  scene.bridge = undefined
  scene.cut()
  await untilStatus(tab, 'stale')
  for (const age of [11, 12, 13]) await patch(scene, { age })
  await tab.clock.fastForward(30_000)
  assert.match((await tab.textContent('live-status')) ?? '', /^Stale since /)
  scene.bridge = bridge
  await tab.clock.fastForward(30_000)
  await untilStatus(tab, 'live')
  const ages = await read(tab, window => window.changes.map(({ version }) => version))
  assert.deepEqual(ages, [2, 3, 4])
  assert.equal(scene.renderCount, 1)
})

test('a bridge that restarts with an empty memory, and another instance, go on from the page’s position', {
  skip,
}, async () => {
  await using live = await openLiveTab()
  const { scene, tab } = live
  const first = scene.bridge
  scene.bridge = undefined
  await first?.close()
  for (const age of [11, 12, 13, 14]) await patch(scene, { age })
  // Less is read at its start than was missed, so that the rest comes from the feed.
  scene.bridge = await scene.openBridge({ limits: { backlogMessages: 2, warmMessages: 1 } })
  await tab.waitForFunction(() => document.querySelector('progress')?.value === 14)
  assert.equal(scene.bridge.counters.fills, 1)
  const second = await scene.openBridge()
  scene.bridge = second
  scene.cut()
  await patch(scene, { age: 15 })
  await tab.waitForFunction(() => document.querySelector('progress')?.value === 15)
  const versions = await read(tab, window => window.changes.map(({ version }) => version))
  assert.deepEqual(versions, [2, 3, 4, 5, 6])
  assert.equal(scene.renderCount, 1)
})

test('a gap that cannot be bridged is mended by one refresh', { skip }, async () => {
  await using live = await openLiveTab()
  const { scene, tab } = live
  scene.bridge = undefined
  scene.cut()
  for (const age of [11, 12, 13, 14]) await patch(scene, { age })
  await scene.api.ask('DELETE', '/people/2')
  await scene.api.ask('PUT', '/people/3', { body: { name: 'Cleo' } })
  scene.bridge = await scene.openBridge({ limits: { backlogMessages: 2, warmMessages: 0, maxReplay: 2 } })
  // Until then the page may not have noticed that it was cut off.
  await tab.waitForFunction(() => document.querySelector('progress')?.value === 14)
  await untilStatus(tab, 'live')
  assert.deepEqual(await refreshes(tab), ['refreshing too-far', 'live refreshed'])
  assert.equal(await tab.getAttribute('progress', 'value'), '14')
  await untilText(tab, 'ul', 'AdaCleo')
  assert.equal(scene.renderCount, 2)
  await patch(scene, { name: 'Later' })
  await untilText(tab, 'h1', 'Later')
  await untilText(tab, '#person-1', 'Later')
  assert.deepEqual(await read(tab, window => window.errors), [])
})

test('HTML from a cache with a marker of another epoch is refreshed once, past the cache', {
  skip,
}, async () => {
  await using scene = await openScene(browser)
  scene.headers = { 'cache-control': 'max-age=3600' }
  scene.beforeRender = tag =>
    scene.renderCount === 1 ? tag.replace(/people:\w+:/, 'people:older1:') : undefined
  const tab = await scene.openTab()
  await untilStatus(tab, 'live')
  assert.equal(scene.renderCount, 2)
  assert.deepEqual(await refreshes(tab), ['refreshing epoch', 'live refreshed'])
  await tab.reload()
  await untilStatus(tab, 'live')
})

test('a cache that never lets go of old HTML makes no loop: the page says that it is stale, and recovers', {
  skip,
}, async () => {
  await using scene = await openScene(browser)
  let isStuck = true
  scene.beforeRender = tag => (isStuck ? tag.replace(/people:\w+:/, 'people:older1:') : undefined)
  const tab = await scene.context.newPage()
  await tab.clock.install()
  await tab.goto(scene.url)
  /** Lets seconds pass until the page has been rendered so often; gives how many. */
  const secondsUntil = async (count: number): Promise<number> => {
    for (let seconds = 0; ; seconds++) {
      if (scene.renderCount === count) return seconds
      assert.ok(seconds < 200, `the page was rendered ${scene.renderCount} times`)
      await tab.clock.runFor(1_000)
      // What the page asked for gets its time.
      await fetch(`${scene.url}other`)
    }
  }
  /** Lets a little time pass until the page says so: what it does next may wait for a timer. */
  const passUntil = async (name: string): Promise<void> => {
    for (let step = 0; (await read(tab, window => window.page.status.name)) !== name; step++) {
      assert.ok(step < 100, `the page does not become ${name}`)
      await tab.clock.runFor(100)
      await fetch(`${scene.url}other`)
    }
  }
  await secondsUntil(2)
  assert.ok((await secondsUntil(3)) >= 28)
  assert.ok((await secondsUntil(4)) >= 58)
  await passUntil('stale')
  assert.match((await read(tab, window => window.errors)).join(), /refresh: position-ahead/)
  isStuck = false
  await secondsUntil(5)
  await passUntil('live')
})

test('a page that comes back from the back/forward cache goes on from what it holds in memory', {
  skip,
}, async () => {
  await using live = await openLiveTab()
  const { scene, tab } = live
  await patch(scene, { age: 11 })
  await tab.waitForFunction(() => document.querySelector('progress')?.value === 11)
  await tab.goto(`${scene.url}other`)
  await patch(scene, { age: 12 })
  await tab.goBack({ waitUntil: 'commit' })
  await tab.waitForFunction(() => document.querySelector('progress')?.value === 12)
  await untilStatus(tab, 'live')
  assert.equal(scene.renderCount, 1, 'the browser kept the page')
  const versions = await read(tab, window => window.changes.map(({ version }) => version))
  assert.deepEqual(versions, [2, 3])
})

test('a tab that was frozen takes in what it missed', { skip }, async () => {
  await using live = await openLiveTab()
  const { scene, tab } = live
  const devtools = await scene.context.newCDPSession(tab)
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' })
  for (const age of [11, 12]) await patch(scene, { age })
  scene.cut()
  await devtools.send('Page.setWebLifecycleState', { state: 'active' })
  await tab.waitForFunction(() => document.querySelector('progress')?.value === 12)
  await untilStatus(tab, 'live')
})

test('a page in the background is kept right without a frame being drawn', { skip }, async () => {
  await using live = await openLiveTab()
  const { scene, tab } = live
  await tab.evaluate(() => {
    window.requestAnimationFrame = () => 0
  })
  await patch(scene, { name: 'Unseen' })
  await untilText(tab, 'h1', 'Unseen')
})

test('where scripts are blocked the page reads as it was rendered', { skip }, async () => {
  await using scene = await openScene(browser, { context: { javaScriptEnabled: false } })
  const tab = await scene.openTab()
  assert.equal(await tab.textContent('h1'), 'Ada')
  assert.equal(await tab.textContent('ul'), 'AdaBob')
})

test('where WebSockets are blocked an event stream carries the page', { skip }, async () => {
  await using scene = await openScene(browser)
  const tab = await scene.context.newPage()
  await tab.routeWebSocket('**', socket => socket.close({ code: 1011 }))
  await tab.goto(scene.url)
  await untilStatus(tab, 'live')
  assert.equal(scene.bridge?.health().connections.events, 1)
  await patch(scene, { name: 'Streamed' })
  await untilText(tab, 'h1', 'Streamed')
  scene.cut()
  await patch(scene, { name: 'Again' })
  await untilText(tab, 'h1', 'Again')
  assert.deepEqual(await read(tab, window => window.changes.map(({ version }) => version)), [2, 3])
})

test('what a user is typing stays, and what came meanwhile is its default value', { skip }, async () => {
  await using live = await openLiveTab()
  const { scene, tab } = live
  await tab.evaluate(() => {
    document.addEventListener('live-change', event => {
      const { name, isLeft } = (event as CustomEvent).detail
      if ((event.target as Element).id === 'field') document.title = JSON.stringify([name, isLeft])
    })
  })
  await tab.fill('#field', 'Mine')
  await patch(scene, { name: 'Theirs' })
  await untilText(tab, 'h1', 'Theirs')
  assert.equal(await tab.inputValue('#field'), 'Mine')
  assert.equal(
    await tab.evaluate(() => (document.querySelector('#field') as HTMLInputElement).defaultValue),
    'Theirs',
  )
  assert.equal(await tab.title(), '["",true]')
  await tab.fill('#field', 'Theirs')
  await patch(scene, { name: 'Last' })
  await untilText(tab, 'h1', 'Last')
  assert.equal(await tab.inputValue('#field'), 'Last')
})

test('what a resource holds is text: no markup, no script behind a link', { skip }, async () => {
  await using live = await openLiveTab()
  const { scene, tab } = live
  const name = '<img src=x onerror="document.title=1"></script>'
  await patch(scene, { name })
  await untilText(tab, 'h1', name)
  await untilText(tab, '#person-1', name)
  assert.equal(await tab.locator('img').count(), 0)
  await patch(scene, { name: 'javascript:alert(1)' })
  await untilText(tab, 'h1', 'javascript:alert(1)')
  assert.equal(await tab.getAttribute('a', 'href'), null)
  await patch(scene, { name: '/people' })
  await untilText(tab, 'h1', '/people')
  assert.equal(await tab.getAttribute('a', 'href'), '/people')
})

test('what is created comes into the list, what is deleted leaves it and stays readable where it is shown alone', {
  skip,
}, async () => {
  await using live = await openLiveTab()
  const { scene, tab } = live
  await scene.api.ask('PUT', '/people/3', { body: { name: 'Cleo' } })
  await untilText(tab, 'ul', 'AdaBobCleo')
  assert.equal(await tab.locator('body > ul > li').count(), 3)
  await tab.evaluate(() => {
    Object.assign(document.querySelector('#person-2')!, { isKept: true })
  })
  await scene.api.ask('DELETE', '/people/1')
  await untilText(tab, 'ul', 'BobCleo')
  assert.equal(await tab.textContent('h1'), 'Ada')
  assert.equal(await tab.getAttribute('h1', 'data-live-gone'), '')
  assert.equal(await tab.evaluate(`document.querySelector('#person-2').isKept`), true)
  await scene.api.ask('PUT', '/people/1', { body: { name: 'Ada again' } })
  await untilText(tab, 'h1', 'Ada again')
  assert.equal(await tab.getAttribute('h1', 'data-live-gone'), null)
})

test('a page without states in its tag is bound by what the messages say, and loaded again where that is not enough', {
  skip,
}, async () => {
  await using scene = await openScene(browser)
  scene.render = { ...scene.render, states: false }
  const tab = await scene.openTab()
  await untilStatus(tab, 'live')
  await patch(scene, { age: 33 })
  await tab.waitForFunction(() => document.querySelector('progress')?.value === 33)
  assert.equal(await tab.textContent('h1'), 'Ada')
  const loaded = tab.waitForEvent('load')
  await tab.evaluate('page.refresh()')
  await loaded
  assert.equal(scene.renderCount, 3)
})

test('a page renews its ticket while it is live, on the same connection', { skip }, async () => {
  const tickets = createTickets({ keys: [{ id: 'a', secret: 'x'.repeat(32) }], lifetimeMs: 3_000 })
  await using scene = await openScene(browser, {
    bridge: { access: { tickets } },
    pages: { tickets, renew: '/live-ticket' },
    page: { audience: 'ada' },
  })
  const given = new Set<string>()
  scene.answer = (request, response) => {
    if (request.url !== '/live-ticket') return false
    text(request).then(body => {
      const ticket = scene.pages.renew(JSON.parse(body).ticket, 'ada')
      given.add(ticket)
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ ticket }))
    })
    return true
  }
  const tab = await scene.openTab()
  await untilStatus(tab, 'live')
  await eventually(() => given.size >= 3)
  await patch(scene, { name: 'Still granted' })
  await untilText(tab, 'h1', 'Still granted')
  assert.equal(scene.bridge?.counters.accepted, 1)
  assert.deepEqual(await read(tab, window => window.errors), [])
})

test('where a ticket is not renewed any more the page is loaded again', { skip }, async () => {
  const tickets = createTickets({ keys: [{ id: 'a', secret: 'x'.repeat(32) }], lifetimeMs: 1_000 })
  await using scene = await openScene(browser, {
    bridge: { access: { tickets } },
    pages: { tickets, renew: '/live-ticket' },
    page: { audience: 'ada' },
  })
  const tab = await scene.openTab()
  await untilStatus(tab, 'live')
  scene.answer = (request, response) => {
    if (request.url?.startsWith('/live')) return request.method === 'POST' && refuse(response)
    response.writeHead(200, { 'content-type': 'text/html' }).end('<title>Sign in</title>')
    return true
  }
  await tab.waitForFunction(() => document.title === 'Sign in')
})

function refuse(response: ServerResponse): boolean {
  response.writeHead(403, { 'content-type': 'application/problem+json' }).end('{"code":"access-denied"}')
  return true
}

test('ids that are more than letters and digits are bound, and read by views, as encodeURIComponent writes them', {
  skip,
}, async () => {
  await using scene = await openScene(browser)
  const id = "j.o'doe (2)*~!@é"
  const path = `/people/${encodeURIComponent(id)}`
  await scene.api.ask('PUT', path, { body: { name: 'Jo', age: 1 } })
  scene.render.body = `<h1 data-live="${path}#/name">Jo</h1><div data-live-path="${path}"><p data-live="#/age">1</p></div>
    <ul data-live-view="names" data-live-path="/people">{names}</ul>`
  const tab = await scene.openTab()
  await untilStatus(tab, 'live')
  const patched = await scene.api.ask('PATCH', path, { body: { name: 'Joe', age: 2 } })
  assert.equal(patched.status, 200)
  await untilText(tab, 'h1', 'Joe')
  await untilText(tab, 'p', '2')
  const name = `page.get('/people/' + encodeURIComponent(${JSON.stringify(id)})).name`
  assert.equal(await tab.evaluate(name), 'Joe')
  assert.deepEqual(await read(tab, window => window.errors), [])
})

test('a page that was closed while it was refreshed stays as it is, and asks for nothing more', {
  skip,
}, async () => {
  await using scene = await openScene(browser)
  const asked = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<void>()
  scene.beforeRender = async tag => {
    if (scene.renderCount === 1) return tag.replace(/people:\w+:/, 'people:older1:')
    asked.resolve()
    await answer.promise
    return undefined
  }
  const tab = await scene.context.newPage()
  await tab.clock.install()
  await tab.goto(scene.url)
  await eventually(async () => {
    await tab.clock.runFor(1_000)
    return scene.renderCount === 2
  })
  await asked.promise
  await tab.evaluate('page.close(); document.title = "Mine"')
  await untilStatus(tab, 'closed')
  answer.resolve()
  await tab.clock.runFor(3_600_000)
  await fetch(`${scene.url}other`)
  await tab.clock.runFor(3_600_000)
  assert.equal(scene.renderCount, 2)
  assert.equal(await tab.title(), 'Mine')
  assert.equal(await read(tab, window => window.page.marker.includes('older1')), true)
  assert.deepEqual(await read(tab, window => window.errors), [])
  assert.equal(await tab.evaluate('page.refresh().catch(error => error.code)'), 'closed')
})
