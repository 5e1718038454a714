/** Whole pages: the frame with its navigation, the index of everything, a page per tag, and the types of each service. */
import type { JsonObject } from '../../contract/index.ts'
import { type Content, type Html, html } from './html.ts'
import { firstLine, renderMarkdown } from './markdown.ts'
import { renderMessage } from './message-view.ts'
import {
  breakable,
  isBrief,
  methodClass,
  renderBrief,
  renderOperation,
  type ViewOptions,
} from './operation-view.ts'
import { renderSchema } from './schema-view.ts'
import { anchorOf, objectOf, type Site, type SitePage, schemaSlug } from './site.ts'

/** The name of a page's file, without an ending, and what makes it. */
export type PageMakers = ReadonlyMap<string, () => string>

/** What makes each page of a site; a page is made when it is asked for. */
export function createPages(site: Site, options: ViewOptions): PageMakers {
  const makers = new Map<string, () => string>([
    ['index', () => frame(site, options, '', site.title, renderIndex(site))],
  ])
  for (const page of site.pages) {
    makers.set(page.slug, () => frame(site, options, page.slug, page.title, renderPage(site, page, options)))
  }
  for (const slug of new Set([...site.schemas.keys()].map(schemaSlug))) {
    makers.set(slug, () => frame(site, options, slug, 'Types', renderSchemas(site, slug)))
  }
  return makers
}

function frame(site: Site, { isLive }: ViewOptions, slug: string, title: string, content: Html): string {
  const whole = title === site.title ? title : `${title} · ${site.title}`
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${whole}</title>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="docs.css">
<script src="docs.js" defer></script>
</head>
<body${isLive ? html` data-live` : ''}>
<a class="skip" href="#content">To the content</a>
<header class="top"><a class="name" href="index.html">${site.title}</a> <span class="note">${site.version}</span>
<form class="search" role="search" hidden><input type="search" placeholder="Search  /" aria-label="Search" autocomplete="off" spellcheck="false"><ul class="found" hidden></ul></form></header>
<div class="columns">
<nav aria-label="Contents">${renderNavigation(site, slug)}</nav>
<main id="content">
${content}
</main>
</div>
</body>
</html>
`.text
}

function renderNavigation(site: Site, slug: string): Content {
  const groups = [...new Set(site.pages.map(({ group }) => group))]
  const typeSlugs = new Set([...site.schemas.keys()].map(schemaSlug))
  return html`<details class="menu" open><summary>Contents</summary><ul>
<li><a href="index.html"${current(slug === '')}>Overview</a></li>
${groups.map(group => {
  const pages = site.pages.filter(page => page.group === group)
  const types = [...typeSlugs].find(
    each => each === (group === '' ? 'schemas' : `${schemaSlug(`${group}.x`)}`),
  )
  const list = html`<ul>${pages.map(page => html`<li><a href="${page.slug}.html"${current(page.slug === slug)}>${page.title}</a></li>`)}${
    types === undefined ? '' : html`<li><a href="${types}.html"${current(types === slug)}>Types</a></li>`
  }</ul>`
  return group === '' ? list : html`<li><p class="group">${group}</p>${list}</li>`
})}
</ul></details>`
}

function current(isCurrent: boolean): Content {
  return isCurrent && html` aria-current="page"`
}

function renderIndex(site: Site): Html {
  const operations = site.pages.flatMap(page => page.operations).filter(entry => !isBrief(entry))
  const messages = site.pages.flatMap(page => page.messages)
  return html`<h1>${site.title}</h1>
${renderMarkdown(site.description)}
<p class="note">${operations.length} operations, ${messages.length} messages. As documents: <a href="openapi.json">OpenAPI 3.1</a>${site.asyncApi === undefined ? '' : html`, <a href="asyncapi.json">AsyncAPI 3</a>`}.</p>
${site.services.map(renderService)}
${site.pages.map(page => renderPageEntry(page))}`
}

function renderService(service: JsonObject): Content {
  const { service: name, title, version, description, 'x-lockstep-stale-since': staleSince } = service
  return html`<section class="service"><h2>${String(name)}</h2><p class="note">${String(title ?? '')} ${String(version ?? '')}</p>${
    typeof staleSince === 'string'
      ? html`<p class="warning">It has not answered since <time>${staleSince}</time>; what is shown is the last that is known.</p>`
      : ''
  }${renderMarkdown(description)}</section>`
}

function renderPageEntry({ slug, group, title, description, operations, messages }: SitePage): Html {
  return html`<section class="entry"><h2><a href="${slug}.html">${group === '' ? '' : html`<span class="note">${group} / </span>`}${title}</a></h2>
${description === '' ? '' : html`<p>${firstLine(description)}</p>`}
<ul class="operations">${operations
    .filter(entry => !isBrief(entry))
    .map(
      ({ anchor, method, path, summary }) =>
        html`<li><a href="${slug}.html#${anchor}"><span class="method ${methodClass(method)}">${method.toUpperCase()}</span> <code class="path">${breakable(path)}</code> <span class="note">${summary}</span></a></li>`,
    )}${messages.map(
    ({ anchor, title: name, places }) =>
      html`<li><a href="${slug}.html#${anchor}"><span class="method method-message"><span class="bolt" aria-hidden="true"></span>MSG</span> <code class="path">${breakable(places[0]?.address ?? '')}</code> <span class="note">${name}</span></a></li>`,
  )}</ul></section>`
}

function renderPage(site: Site, page: SitePage, options: ViewOptions): Html {
  const { group, title, description, operations, messages } = page
  const brief = operations.filter(isBrief)
  return html`<h1>${group === '' ? '' : html`<span class="note">${group} / </span>`}${title}</h1>
${renderMarkdown(description)}
${operations.filter(entry => !isBrief(entry)).map(entry => renderOperation(site, entry, options))}
${messages.map(entry => renderMessage(site, entry))}
${brief.length === 0 ? '' : html`<section><h2>Also answered</h2><ul class="operations brief">${brief.map(renderBrief)}</ul></section>`}`
}

function renderSchemas(site: Site, slug: string): Html {
  const all = objectOf(objectOf(site.openApi['components'])['schemas'])
  const names = Object.keys(all).filter(name => schemaSlug(name) === slug)
  const places = { document: site.openApi, schemas: site.schemas }
  return html`<h1>Types</h1>
${names.map(name => {
  const anchor = anchorOf(`schema-${name}`)
  const label = name.replace(/^[^.]*\.(?=.)/, '')
  return html`<section class="type-section" id="${anchor}"><h2><a class="anchor" href="#${anchor}" aria-label="Link to this type">#</a>${label}</h2>${renderSchema(places, all[name])}</section>`
})}`
}

/** What the search looks in, as a script: it works where a page is opened from a folder, too. */
export function createSearchIndex({ pages }: Site): string {
  const entries = pages.flatMap(({ slug, title, operations, messages }) => [
    ...operations
      .filter(entry => !isBrief(entry))
      .map(({ anchor, method, path, summary, id }) => [
        `${slug}.html#${anchor}`,
        method.toUpperCase(),
        path,
        summary,
        id,
      ]),
    ...messages.map(({ anchor, title: name, places }) => [
      `${slug}.html#${anchor}`,
      'MSG',
      places[0]?.address ?? '',
      name,
      name,
    ]),
    ...(title === '' ? [] : [[`${slug}.html`, 'PAGE', title, '', '']]),
  ])
  const text = JSON.stringify(entries)
    .replaceAll('<', '\\u003c')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029')
  return `globalThis.lockstepSearchIndex=${text}\n`
}
