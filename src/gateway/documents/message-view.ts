/** One message as HTML: where it comes, what it holds, what causes it. */
import type { JsonObject } from '../../contract/index.ts'
import { type Content, type Html, html } from './html.ts'
import { renderMarkdown } from './markdown.ts'
import { breakable, formatExample } from './operation-view.ts'
import { renderSchema } from './schema-view.ts'
import { type MessageEntry, type MessagePlace, objectOf, type Site } from './site.ts'

export function renderMessage(site: Site, { anchor, name, title, message, places }: MessageEntry): Html {
  const { summary, description, payload, examples } = message
  const shown = Array.isArray(examples)
    ? examples.map(each => objectOf(each)['payload']).filter(each => each !== undefined)
    : []
  return html`<section class="message" id="${anchor}" aria-labelledby="${anchor}-title">
<h2 id="${anchor}-title"><a class="anchor" href="#${anchor}" aria-label="Link to this message">#</a><span class="bolt" aria-hidden="true"></span>${title}</h2>
<p class="line"><span class="id">${name}</span></p>
${renderMarkdown(summary)}${renderMarkdown(description)}
${places.length === 0 ? '' : html`<h3>Where it comes</h3><ul class="places">${places.map(renderPlace)}</ul>`}
<h3>Payload</h3>
${renderSchema({ document: site.asyncApi ?? {}, schemas: site.schemas }, payload)}
${shown.slice(0, 3).map(example => html`<details open><summary>Example</summary><pre><code>${formatExample(example!)}</code></pre></details>`)}
</section>`
}

function renderPlace({ address, direction, bindings, causes }: MessagePlace): Html {
  const from: Content =
    causes.length === 0
      ? ''
      : html`; caused by ${causes.map(({ id, href }, index) => [index > 0 && ', ', href === undefined ? id : html`<a href="${href}">${id.replace(/^[^.]*\./, '')}</a>`])}`
  return html`<li><code>${breakable(address)}</code> <span class="note">${direction === 'receive' ? 'is taken' : 'is sent'}${describeBindings(bindings)}${from}</span></li>`
}

function describeBindings(bindings: JsonObject): string {
  const { qos, retain } = objectOf(bindings['mqtt'])
  if (qos !== undefined) return ` over MQTT with QoS ${qos}${retain === true ? ', retained' : ''}`
  return bindings['http'] === undefined ? '' : ' over HTTP, as an event stream'
}
