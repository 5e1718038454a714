/** The pages of topics in a real browser: live, usable by keyboard, with nothing from elsewhere, and with what was published as text only. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Browser, Page } from 'playwright-core'
import { createMemoryHub } from '../../src/broker/index.ts'
import { skipWithoutChromium, startChromium } from '../support/chromium.ts'
import { Inbox } from '../support/inbox.ts'
import { openView, type View } from './view.ts'

const waitMs = 20_000

describe('the pages of topics', { skip: skipWithoutChromium }, () => {
  let browser: Browser
  before(async () => {
    browser = await startChromium()
  })
  after(async () => {
    await browser?.close()
  })

  /** Opens a page that counts what it must not do. */
  async function openPage(
    view: View,
    path: string,
    options: { javaScriptEnabled?: boolean } = {},
  ): Promise<{ page: Page; faults: string[] }> {
    const context = await browser.newContext(options)
    const page = await context.newPage()
    const faults: string[] = []
    const own = new URL(view.url).origin
    page.on('pageerror', error => faults.push(String(error)))
    page.on('console', message => {
      if (message.type() === 'error' && !message.text().includes('404')) faults.push(message.text())
    })
    page.on('request', request => {
      if (!request.url().startsWith(`${own}/topics`) && !request.url().endsWith('/favicon.ico'))
        faults.push(request.url())
    })
    await page.goto(view.url + path)
    return { page, faults }
  }

  it('shows a topic with its value, what comes, and publishes to devices', async () => {
    const hub = createMemoryHub()
    await using view = await openView(hub.connect())
    const device = hub.connect()
    const inbox = new Inbox()
    await device.subscribe(['mytopic'], inbox.listener)
    await fetch(`${view.url}/mytopic`, {
      method: 'PUT',
      headers: { 'content-type': 'text/plain' },
      body: 'hello <b>world</b>',
    })
    const { page, faults } = await openPage(view, '/mytopic')
    assert.equal(await page.locator('h1').innerText(), 'mytopic')
    const field = page.getByRole('textbox', { name: 'Last value, and what to publish' })
    assert.equal(await field.inputValue(), 'hello <b>world</b>')

    await page.waitForFunction(() => !document.querySelector<HTMLElement>('[data-heard]')?.hidden)
    while (view.topics.streams === 0) await new Promise(resolve => setTimeout(resolve, 10))
    await device.publish('mytopic', '<img src=x onerror=alert(1)>')
    await page.getByText('<img src=x onerror=alert(1)>').first().waitFor({ timeout: waitMs })
    assert.equal(await field.inputValue(), '<img src=x onerror=alert(1)>')

    await field.fill('from the page')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByRole('status').getByText('Published.').waitFor({ timeout: waitMs })
    await inbox.reachPayload('from the page')
    assert.deepEqual(faults, [])
    await page.context().close()
  })

  it('lists topics as they come, and leads to one', async () => {
    const hub = createMemoryHub()
    await using view = await openView(hub.connect())
    const { page, faults } = await openPage(view, '')
    await page.getByText('No topic has a value yet.').waitFor({ timeout: waitMs })
    while (view.topics.streams === 0) await new Promise(resolve => setTimeout(resolve, 10))
    const device = hub.connect()
    await device.publish('sensors/kitchen', '21.5')
    await device.publish('a b/ü?', 'x')
    await page.getByRole('row', { name: /sensors\/kitchen 21\.5/ }).waitFor({ timeout: waitMs })
    await page.getByRole('link', { name: 'a b/ü?' }).click()
    await page.getByRole('heading', { name: 'a b/ü?' }).waitFor({ timeout: waitMs })
    await page.getByRole('textbox', { name: 'Topic or filter' }).fill('sensors/#')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Topics in sensors/#' }).waitFor({ timeout: waitMs })
    assert.equal(await page.getByRole('rowheader').count(), 1)
    assert.deepEqual(faults, [])
    await page.context().close()
  })

  it('publishes without a script too', async () => {
    const hub = createMemoryHub()
    await using view = await openView(hub.connect())
    const inbox = new Inbox()
    await hub.connect().subscribe(['mytopic'], inbox.listener)
    const { page } = await openPage(view, '/mytopic', { javaScriptEnabled: false })
    await page.locator('#payload').fill('{"on": true}')
    await page.getByRole('button', { name: 'Publish' }).click()
    await inbox.reachPayload('{"on": true}')
    await page.context().close()
  })
})
