/** The pages in a real browser: nothing of a document runs, what is tried shows its messages, and all reads without scripts. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import test, { after, before } from 'node:test'
import { pathToFileURL } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import type { JsonObject } from '../../../src/contract/index.ts'
import type { Gatherer } from '../../../src/gateway/documents/gatherer.ts'
import { joinOpenApi } from '../../../src/gateway/documents/join-openapi.ts'
import { createLiveDocuments, type LiveDocuments } from '../../../src/gateway/documents/live-documents.ts'
import type { Part } from '../../../src/gateway/documents/part.ts'
import { buildSite } from '../../../src/gateway/documents/static-site.ts'
import { upgradeOpenApi } from '../../../src/gateway/documents/upgrade.ts'
import { describeAsyncApi } from '../../../src/service/describe/async-api.ts'
import { describeOpenApi } from '../../../src/service/describe/open-api.ts'
import { createNodeListener } from '../../../src/service/http/node.ts'
import { skipWithoutChromium, startChromium } from '../../support/chromium.ts'
import { friends, openTestService, people, projects } from '../../support/service.ts'

let browser: Browser | undefined
before(async () => {
  if (skipWithoutChromium === false) browser = await startChromium()
})
after(async () => await browser?.close())
const skip = { skip: skipWithoutChromium }

const attacks = [
  '<script>window.hit=1</script>',
  '<img src=x onerror=window.hit=1>',
  '"><svg onload=window.hit=1>',
  "' onmouseover='window.hit=1",
  '</title><script>window.hit=1</script>',
  '</textarea><script>window.hit=1</script>',
  '[click](javascript:window.hit=1)',
  '[click](java\tscript:window.hit=1)',
  '[click](JAVASCRIPT&colon;window.hit=1)',
  '[click](data:text/html,<script>window.hit=1</script>)',
  '<a href="javascript:window.hit=1">click</a>',
  '`</code><script>window.hit=1</script>`',
  '```\n</pre><script>window.hit=1</script>\n```',
  '| a | b |\n|---|---|\n| <script>window.hit=1</script> | `<b>` |',
  '<iframe srcdoc="<script>parent.hit=1</script>">',
  '<math><mtext></mtext><mglyph><style><img src=x onerror=window.hit=1>',
  '\u2028</script><script>window.hit=1</script>',
  '__proto__',
]

/** A document with an attack wherever an author can write a text. */
function attack(text: string): JsonObject {
  return {
    openapi: '3.1.0',
    info: { title: text, version: text, description: text },
    servers: [{ url: 'https://x.example/', description: text }],
    tags: [{ name: text, description: text, 'x-displayName': text }],
    paths: {
      [`/${text}/{${text.replaceAll(/[{}/]/g, '')}}`]: {
        get: {
          operationId: text,
          summary: text,
          description: text,
          tags: [text],
          deprecated: true,
          'x-lockstep-audience': text,
          parameters: [
            {
              name: text,
              in: 'query',
              description: text,
              example: text,
              schema: { type: 'string', enum: [text], default: text, pattern: text, format: text },
            },
            { name: `${text}1`, in: 'header', schema: { type: text } },
          ],
          requestBody: {
            description: text,
            content: { [text]: { example: text, schema: { $ref: '#/components/schemas/A' } } },
          },
          responses: {
            [text]: {
              description: text,
              headers: { [text]: {} },
              content: { [text]: { example: { [text]: text } } },
            },
          },
          'x-lockstep-messages': [{ message: text, channel: text }],
        },
      },
    },
    components: {
      schemas: {
        A: {
          description: text,
          properties: { [text]: { const: text, description: text, 'x-lockstep-audience': text } },
        },
        [text]: { title: text },
      },
    },
  }
}

interface Site extends AsyncDisposable {
  readonly url: string
}

/** What a gateway does with its own pages and one service, in the small. */
async function serve(
  documents: LiveDocuments,
  answer?: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Site> {
  const server = createServer(async (request, response) => {
    const [asked = '/', query = ''] = (request.url ?? '/').split('?', 2)
    if (answer !== undefined && asked.startsWith('/api/v1/users')) {
      request.url = (request.url ?? '').slice('/api/v1/users'.length) || '/'
      return answer(request, response)
    }
    const own = await documents.answer({
      id: '1',
      method: request.method ?? 'GET',
      path: asked,
      query,
      headers: request.headers,
      remoteAddress: '127.0.0.1',
      face: 'internal',
    })
    response.writeHead(own?.status ?? 404, (own?.headers ?? {}) as Record<string, string>).end(own?.body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function hold(...parts: Part[]): Gatherer {
  return {
    parts: () => parts,
    revision: 1,
    refresh: async () => {},
    setSources() {},
    start() {},
    close: async () => {},
  }
}

/** Opens a page that may ask its own site only, and fails on anything else. */
async function open(
  url: string,
  options: { javaScriptEnabled?: boolean } = {},
): Promise<{ page: Page; faults: string[] }> {
  const context = await browser!.newContext(options)
  const page = await context.newPage()
  const faults: string[] = []
  const { origin } = new URL(url)
  page.on('request', request => {
    if (!request.url().startsWith(origin) && !url.startsWith('file:')) faults.push(`asked ${request.url()}`)
  })
  page.on('console', message => {
    if (message.type() === 'error') faults.push(message.text())
  })
  page.on('pageerror', error => faults.push(String(error)))
  page.on('dialog', dialog => {
    faults.push('dialog')
    void dialog.dismiss()
  })
  await page.goto(url)
  return { page, faults }
}

test('nothing that stands in a document runs, is asked for, or leads to a script', skip, async () => {
  const parts = await Promise.all(
    attacks.map(async (text, index) => ({
      service: `s${index}`,
      openApi: await upgradeOpenApi('attack', attack(text)),
    })),
  )
  const documents = createLiveDocuments({ gatherer: hold(...parts) })
  await using site = await serve(documents)
  const { page, faults } = await open(`${site.url}/docs/`)
  const hrefs = await page
    .locator('nav a')
    .evaluateAll(links => links.map(link => (link as HTMLAnchorElement).href))
  assert.ok(hrefs.length > attacks.length)
  for (const href of new Set(hrefs)) {
    await page.goto(href)
    const found = await page.evaluate(() => ({
      hit: (globalThis as { hit?: unknown }).hit,
      scripts: [...document.querySelectorAll('script')].map(script => script.getAttribute('src') ?? 'inline'),
      foreign: document.querySelectorAll(
        'img, svg, iframe, math, object, embed, style, [onerror], [onload], [onmouseover], [style]',
      ).length,
      links: [...document.querySelectorAll('a')].map(link => link.protocol),
    }))
    assert.equal(found.hit, undefined, href)
    assert.deepEqual(found.scripts, ['docs.js'], href)
    assert.equal(found.foreign, 0, href)
    assert.deepEqual(
      found.links.filter(protocol => !/^(https?:|mailto:)$/.test(protocol)),
      [],
      href,
    )
  }
  await page.fill('input[type=search]', 'script')
  await page.waitForSelector('.found li')
  assert.equal(await page.evaluate(() => (globalThis as { hit?: unknown }).hit), undefined)
  assert.deepEqual(faults, [])
  await page.context().close()
})

test(
  'a request that is tried shows its answer, and beside it the messages that it caused',
  skip,
  async () => {
    await using api = await openTestService({ topicPrefix: 'acme/' })
    const options = { resources: [people, friends, projects], topicPrefix: 'acme/' }
    const part = { service: 'users', openApi: describeOpenApi(options), asyncApi: describeAsyncApi(options) }
    await using site = await serve(
      createLiveDocuments({ gatherer: hold(part) }),
      createNodeListener(api.service),
    )
    const { page, faults } = await open(`${site.url}/docs/users-people.html`)
    const create = page.locator('#users\\.people\\.create form.try')
    await create.locator('textarea').fill('{"id":"ann","name":"Ann"}')
    await create.getByRole('button', { name: 'Send' }).click()
    await create.locator('.heard .good').waitFor({ timeout: 20_000 })
    assert.match(await create.locator('.status-line').innerText(), /^201.*marker people:\w+:1/)
    const heard = await create.locator('.heard').innerText()
    assert.match(heard, /acme\/people\n/)
    assert.match(heard, /✓ fits PeopleCreated/)
    assert.match(heard, /One message with the cause docs-/)
    const patch = page.locator('#users\\.people\\.patch form.try')
    await patch.locator('input[name=person]').fill('ann')
    await patch.locator('textarea:visible').fill('{"age":7}')
    await patch.getByRole('button', { name: 'Send' }).click()
    await patch.locator('.heard .good').waitFor({ timeout: 20_000 })
    assert.match(await patch.locator('.heard').innerText(), /acme\/people\/ann\n[\s\S]*PeopleModified/)
    await patch.getByRole('button', { name: 'Send' }).click()
    await page.getByText('None: the request changed nothing.').waitFor({ timeout: 20_000 })
    assert.deepEqual(faults, [])
    await page.context().close()
  },
)

test(
  'the pages read without JavaScript, from a folder too, and every operation and message has its anchor',
  skip,
  async () => {
    const options = { resources: [people, friends], about: { live: '/live' } }
    const openApi = describeOpenApi(options)
    const folder = await mkdtemp(path.join(tmpdir(), 'lockstep-docs-'))
    const names: string[] = []
    for (const [name, text] of buildSite(openApi, describeAsyncApi(options))) {
      names.push(name)
      await writeFile(path.join(folder, name), text)
    }
    assert.ok(names.includes('people.html') && names.includes('openapi.json'))
    const url = pathToFileURL(path.join(folder, 'people.html')).href
    const { page, faults } = await open(url, { javaScriptEnabled: false })
    for (const id of [
      'people.list',
      'people.create',
      'people.listHead',
      'message-PeopleCreated',
      'message-PeopleModified',
    ])
      assert.equal(await page.locator(`[id="${id}"]`).count(), 1, id)
    assert.equal(await page.locator('form:visible').count(), 0)
    const { page: live, faults: liveFaults } = await open(pathToFileURL(path.join(folder, 'index.html')).href)
    await live.keyboard.press('/')
    await live.keyboard.type('friends deleted')
    await live.locator('.found a').first().waitFor()
    await live.keyboard.press('ArrowDown')
    await live.keyboard.press('Enter')
    await live.waitForURL(/peoplefriends\.html#message-PeopleFriendsDeleted/)
    for (const width of [390, 1280]) {
      await live.setViewportSize({ width, height: 800 })
      assert.ok((await live.evaluate(() => document.documentElement.scrollWidth)) <= width, `${width}`)
    }
    assert.deepEqual([...faults, ...liveFaults], [])
    await page.context().close()
    await live.context().close()
    await rm(folder, { recursive: true })
  },
)

test('own pages have strict headers, are kept by their tags, and are not for other methods', async () => {
  const documents = createLiveDocuments({
    gatherer: hold({ service: 'users', openApi: describeOpenApi({ resources: [people] }) }),
  })
  const ask = (method: string, asked: string, headers: Record<string, string> = {}) =>
    documents.answer({
      id: '1',
      method,
      path: asked,
      query: '',
      headers,
      remoteAddress: '',
      face: 'internal',
    }) as { status: number; headers: Record<string, string>; body?: string } | undefined
  assert.equal(ask('GET', '/other'), undefined)
  assert.equal(ask('GET', '/docs')?.headers['location'], '/docs/')
  const page = ask('GET', '/docs/')!
  assert.match(
    page.headers['content-security-policy']!,
    /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'/,
  )
  assert.equal(page.headers['x-content-type-options'], 'nosniff')
  assert.doesNotMatch(page.body!, /<style|\sstyle=|<script>|\son\w+=/)
  assert.equal(ask('GET', '/docs/', { 'if-none-match': page.headers['etag']! })?.status, 304)
  assert.equal(ask('HEAD', '/docs/')?.body, undefined)
  assert.equal(ask('POST', '/docs/')?.status, 405)
  assert.equal(ask('GET', '/docs/none.html')?.status, 404)
  assert.equal(ask('GET', '/docs/asyncapi.json')?.status, 404)
  assert.match(ask('GET', '/docs/openapi.json')!.body!, /"\/api\/v1\/users\/people"/)
})

test('a document of which every text is an attack is joined without losing an operation', async () => {
  const parts = await Promise.all(
    attacks.map(async (text, index) => ({
      service: `s${index}`,
      openApi: await upgradeOpenApi('attack', attack(text)),
    })),
  )
  assert.equal(Object.keys(joinOpenApi(parts).document['paths'] as object).length, attacks.length)
})
