/** Pages in a real Chromium, on real bridges. */
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'
import type { Browser } from 'playwright-core'
import { skipWithoutChromium, startChromium } from '../../support/chromium.ts'
import { openScene, read, untilStatus, untilText } from './scene.ts'

const skip = skipWithoutChromium
let browser: Browser
before(async () => {
  if (!skip) browser = await startChromium()
})
after(() => browser?.close())

const rename = { headers: { 'content-type': 'application/merge-patch+json' } }

test('a change between rendering and connection arrives, and changes after it', { skip }, async () => {
  await using scene = await openScene(browser)
  scene.beforeRender = async () => {
    await scene.api.ask('PATCH', '/people/1', { ...rename, body: { name: 'Between' } })
    return undefined
  }
  const tab = await scene.openTab()
  await untilText(tab, 'h1', 'Between')
  await untilStatus(tab, 'live')
  scene.beforeRender = undefined
  await scene.api.ask('PATCH', '/people/1', { ...rename, body: { name: 'After', age: 50 } })
  await untilText(tab, 'h1', 'After')
  assert.equal(await tab.getAttribute('progress', 'value'), '50')
  assert.equal(await tab.inputValue('#field'), 'After')
  await untilText(tab, '#person-1', 'After')
  assert.deepEqual(await read(tab, window => window.errors), [])
  assert.deepEqual(await read(tab, window => window.changes.map(({ version }) => version)), [2, 3])
})
