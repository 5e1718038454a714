/**
 * The pages: a list of topics, and one topic with its last value and a form to publish. They work without a script; with it they are live.
 *
 * What was published is only ever text in them.
 */
import type { ListedValue } from './last-values.ts'
import { formatTopicUrl } from './topic-target.ts'
import { kindOf, type TopicValue, textOf } from './value.ts'

export interface TopicPage {
  readonly root: string
  readonly topic: string
  readonly value: TopicValue | undefined
}

export interface ListPage {
  readonly root: string
  readonly filter: string
  readonly rows: readonly ListedValue[]
  /** The URL of the page behind it. */
  readonly next: string | undefined
}

const maxShownChars = 200

export function renderTopic({ root, topic, value }: TopicPage): string {
  const kind = value === undefined ? 'text' : kindOf(value.bytes)
  const isText = kind !== 'binary'
  const shown = value === undefined ? '' : isText ? textOf(value.bytes) : ''
  const url = formatTopicUrl(root, topic)
  const note =
    value === undefined
      ? 'Nothing has come on this topic yet.'
      : isText
        ? `Since ${formatTime(value)}.`
        : `${value.bytes.length} bytes that are no text, since ${formatTime(value)}.`
  const body = `<h1>${escapeHtml(topic)}</h1>
<form method="post" action="${escapeHtml(url)}" data-topic="${escapeHtml(topic)}">
<label for="payload">Last value, and what to publish</label>
<textarea id="payload" name="payload" spellcheck="false" aria-describedby="since">
${escapeHtml(shown)}</textarea>
<p id="since" class="note" data-since>${escapeHtml(note)}</p>
<p><label class="inline"><input type="checkbox" name="retain" value="true" checked> Retain</label>
<button>Publish</button></p>
</form>
<p role="status" data-status></p>
<section data-heard hidden aria-labelledby="heard"><h2 id="heard">Messages</h2><ol class="heard" tabindex="0" aria-labelledby="heard"></ol></section>`
  return renderPage(root, topic, body)
}

export function renderList({ root, filter, rows, next }: ListPage): string {
  const lines = rows.map(
    ({ topic, ...value }) =>
      `<tr data-topic="${escapeHtml(topic)}"><th scope="row"><a href="${escapeHtml(formatTopicUrl(root, topic))}">${escapeHtml(topic)}</a></th><td class="value">${escapeHtml(shorten(value))}</td><td class="time">${formatTime(value)}</td></tr>`,
  )
  const title = filter === '#' ? 'Topics' : `Topics in ${filter}`
  const empty = `<p class="note" data-empty${lines.length > 0 ? ' hidden' : ''}>No topic has a value yet.</p>`
  const body = `<h1>${escapeHtml(title)}</h1>
${empty}
<table data-filter="${escapeHtml(filter)}" data-url="${escapeHtml(formatTopicUrl(root, filter))}" data-root="${escapeHtml(root)}"${lines.length === 0 ? ' hidden' : ''}>
<thead><tr><th scope="col">Topic</th><th scope="col">Last value</th><th scope="col" class="time">Since</th></tr></thead>
<tbody>${lines.join('\n')}</tbody></table>
<p role="status" data-status></p>
${next === undefined ? '' : `<p><a rel="next" href="${escapeHtml(next)}">More topics</a></p>`}`
  return renderPage(root, title, body)
}

function renderPage(root: string, title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escapeHtml(title)} · Lockstep topics</title>
<link rel="stylesheet" href="${root}?asset=style">
<script src="${root}?asset=script" defer></script>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<nav aria-label="Topics"><a href="${root}">All topics</a></nav>
<form class="go" role="search" method="get" action="${root}">
<div><label for="filter">Topic or filter</label><input type="text" id="filter" name="filter" placeholder="sensors/#" autocapitalize="off" autocomplete="off" required></div>
<button>Show</button>
</form>
</header>
<main id="main">
${body}
</main>
</body>
</html>
`
}

function shorten({ bytes }: TopicValue): string {
  if (kindOf(bytes) === 'binary') return `${bytes.length} bytes`
  const text = textOf(bytes)
  return text.length > maxShownChars ? `${text.slice(0, maxShownChars)}…` : text
}

function formatTime({ timeMs }: TopicValue): string {
  const time = new Date(timeMs).toISOString()
  return `${time.slice(0, 10)} ${time.slice(11, 19)} UTC`
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, character => entities[character]!)
}
