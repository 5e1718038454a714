/** The same pages as files: they read without a server and without JavaScript, and their search works from a folder. */
import type { JsonObject } from '../../contract/index.ts'
import { readPageScript } from './page-script.ts'
import { createPages, createSearchIndex } from './page-view.ts'
import { createSite } from './site.ts'
import { icon, styleSheet } from './style-sheet.ts'

/** Gives each file of the site by its name, one after the other, so that a large site is never in memory as a whole. */
export function* buildSite(
  openApi: JsonObject,
  asyncApi?: JsonObject,
): Generator<readonly [name: string, text: string]> {
  const site = createSite(openApi, asyncApi)
  for (const [slug, make] of createPages(site, { isLive: false })) yield [`${slug}.html`, make()]
  yield ['docs.css', styleSheet]
  yield ['icon.svg', icon]
  yield ['docs.js', readPageScript()]
  yield ['search-index.js', createSearchIndex(site)]
  yield ['openapi.json', `${JSON.stringify(openApi, null, 2)}\n`]
  if (asyncApi !== undefined) yield ['asyncapi.json', `${JSON.stringify(asyncApi, null, 2)}\n`]
}
