/** One operation as HTML: what it takes, what it answers, which messages it causes; and the form that tries it, for the script. */
import { isJsonObject, type Json, type JsonObject } from '../../contract/index.ts'
import { type Content, type Html, html } from './html.ts'
import { renderMarkdown } from './markdown.ts'
import { follow } from './reference-walk.ts'
import { renderSchema, renderType } from './schema-view.ts'
import { type OperationEntry, objectOf, type Site } from './site.ts'

/** Is the page served where requests can be tried? */
export interface ViewOptions {
  readonly isLive: boolean
}

export function renderOperation(site: Site, entry: OperationEntry, { isLive }: ViewOptions): Html {
  const { anchor, method, path, summary, operation, parameters, messages } = entry
  const { description, deprecated, 'x-lockstep-stale-since': staleSince } = operation
  return html`<section class="operation" id="${anchor}" aria-labelledby="${anchor}-title">
<h2 id="${anchor}-title"><a class="anchor" href="#${anchor}" aria-label="Link to this operation">#</a>${summary}</h2>
<p class="line"><span class="method ${methodClass(method)}">${method.toUpperCase()}</span> <code class="path">${breakable(path)}</code>${renderFlags(operation)}</p>
${deprecated === true ? html`<p class="warning">Deprecated.</p>` : ''}${
  typeof staleSince === 'string'
    ? html`<p class="warning">The service has not answered since <time>${staleSince}</time>; this is the last that is known.</p>`
    : ''
}
${renderMarkdown(description)}
${renderParameters(site, parameters)}
${renderBody(site, operation['requestBody'])}
${renderCaused(messages)}
${renderResponses(site, operation['responses'])}
${isLive ? renderForm(site, entry) : ''}
</section>`
}

/** HEAD and OPTIONS say nothing new; one line each. */
export function renderBrief({ anchor, method, path, summary }: OperationEntry): Html {
  return html`<li id="${anchor}"><span class="method ${methodClass(method)}">${method.toUpperCase()}</span> <code class="path">${breakable(path)}</code> <span class="note">${summary}</span></li>`
}

export function isBrief({ method }: OperationEntry): boolean {
  return method === 'head' || method === 'options'
}

export function methodClass(method: string): string {
  return `method-${method.toLowerCase().replaceAll(/[^a-z]/g, '')}`
}

/** A long path may be cut behind its slashes. */
export function breakable(path: string): Content {
  return path.split('/').map((part, index) => (index === 0 ? part : [html`/<wbr>`, part]))
}

function renderFlags({ operationId, 'x-lockstep-audience': audience, security }: JsonObject): Content {
  const schemes = Array.isArray(security)
    ? security.filter(isJsonObject).flatMap(each => Object.keys(each))
    : []
  return [
    typeof audience === 'string' && html` <span class="flag">${audience}</span>`,
    schemes.length > 0 && html` <span class="flag">needs ${[...new Set(schemes)].join(', ')}</span>`,
    typeof operationId === 'string' && html` <span class="id">${operationId}</span>`,
  ]
}

function renderParameters(site: Site, parameters: readonly JsonObject[]): Content {
  if (parameters.length === 0) return ''
  const rows = parameters.map(parameter => {
    const schema = parameter['schema'] ?? objectOf(Object.values(objectOf(parameter['content']))[0])['schema']
    return html`<tr><td><code>${String(parameter['name'])}</code>${
      parameter['required'] === true ? html` <span class="flag required">required</span>` : ''
    }</td><td>${String(parameter['in'])}</td><td class="type">${renderType({ document: site.openApi, schemas: site.schemas }, schema)}</td><td>${renderMarkdown(parameter['description'])}</td></tr>`
  })
  return html`<h3>Parameters</h3>
<div class="scroll"><table class="parameters"><thead><tr><th scope="col">Name</th><th scope="col">In</th><th scope="col">Type</th><th scope="col">What it is</th></tr></thead><tbody>${rows}</tbody></table></div>`
}

function renderBody(site: Site, given: Json | undefined): Content {
  const body = follow(site.openApi, given)
  if (!isJsonObject(body ?? null)) return ''
  const { description, content, required } = body as JsonObject
  return html`<h3>Body${required === true ? html` <span class="flag required">required</span>` : ''}</h3>
${renderMarkdown(description)}${renderContent(site, content)}`
}

function renderContent(site: Site, content: Json | undefined): Content {
  return Object.entries(objectOf(content)).map(([type, media]) => {
    const { schema, example, examples } = objectOf(media)
    const shown = example ?? firstExample(site.openApi, examples)
    return html`<div class="media"><p class="note"><code>${type}</code></p>
${schema === undefined ? '' : renderSchema({ document: site.openApi, schemas: site.schemas }, schema)}
${shown === undefined ? '' : html`<details><summary>Example</summary><pre><code>${formatExample(shown)}</code></pre></details>`}</div>`
  })
}

export function firstExample(document: JsonObject, examples: Json | undefined): Json | undefined {
  const [first] = Object.values(objectOf(examples))
  return objectOf(follow(document, first))['value']
}

export function formatExample(value: Json): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value, null, 2)
  return text.length > 20_000 ? `${text.slice(0, 20_000)}\n…` : text
}

function renderCaused(messages: OperationEntry['messages']): Content {
  if (messages.length === 0) return ''
  return html`<h3>Messages that it causes</h3>
<ul class="caused">${messages.map(
    ({ name, address, href }) =>
      html`<li><span class="bolt" aria-hidden="true"></span>${href === undefined ? name : html`<a href="${href}">${name.replace(/^[^.]*\./, '')}</a>`} on the topic <code>${breakable(address)}</code></li>`,
  )}</ul>`
}

function renderResponses(site: Site, responses: Json | undefined): Content {
  const entries = Object.entries(objectOf(responses))
  if (entries.length === 0) return ''
  return html`<h3>Responses</h3>
<div class="responses">${entries.map(([status, given]) => {
    const response = objectOf(follow(site.openApi, given))
    const headers = Object.keys(objectOf(response['headers']))
    const isGood = /^[123]/.test(status)
    return html`<details class="response"${isGood && status !== '304' ? openAttribute : ''}><summary><span class="status ${isGood ? 'good' : 'bad'}">${status}</span> ${firstSentence(response['description'])}</summary>
<div class="inside">${isShort(response['description']) ? '' : renderMarkdown(response['description'])}${headers.length === 0 ? '' : html`<p class="note">Headers: ${headers.map((name, index) => [index > 0 && ', ', html`<code>${name}</code>`])}</p>`}${renderContent(site, response['content'])}</div></details>`
  })}</div>`
}

const openAttribute = html` open`

/** Is the whole of it in the summary already? */
function isShort(text: Json | undefined): boolean {
  return typeof text !== 'string' || (text.length <= 120 && !/[\n[]/.test(text))
}

function firstSentence(text: Json | undefined): string {
  return typeof text === 'string'
    ? text
        .replaceAll(/[`*]|<[^>]*>/g, '')
        .split('\n', 1)[0]!
        .slice(0, 120)
    : ''
}

/** Hidden until the script shows it: without it nothing could be sent. */
function renderForm(site: Site, entry: OperationEntry): Html {
  const { method, path, parameters, operation, feed, anchor } = entry
  const body = objectOf(follow(site.openApi, operation['requestBody']))
  const types = Object.keys(objectOf(body['content']))
  const field = (parameter: JsonObject): Html => {
    const name = String(parameter['name'])
    const place = String(parameter['in'])
    const id = `${anchor}-${place}-${name}`.replaceAll(/[^\w.-]/g, '_')
    const { example, examples } = objectOf(parameter['schema'])
    const value = parameter['example'] ?? example ?? (Array.isArray(examples) ? examples[0] : undefined)
    return html`<label for="${id}"><span>${name}</span><input id="${id}" name="${name}" data-in="${place}" autocomplete="off" spellcheck="false"${parameter['required'] === true ? html` required` : ''} placeholder="${value === undefined || typeof value === 'object' ? '' : String(value)}"></label>`
  }
  const inPath = parameters.filter(each => each['in'] === 'path')
  const others = parameters.filter(each => each['in'] === 'query' || each['in'] === 'header')
  return html`<form class="try" hidden data-method="${method.toUpperCase()}" data-path="${path}"${feed === undefined ? '' : html` data-feed="${feed}"`}>
<h3>Try it</h3>
${inPath.map(field)}
${others.length === 0 ? '' : html`<details><summary>${others.length} more parameters</summary>${others.map(field)}</details>`}
${
  types.length === 0
    ? ''
    : html`<label><span>Content-Type</span><select name="type">${types.map(type => html`<option>${type}</option>`)}</select></label>
${types.map((type, index) => {
  const { example, examples } = objectOf(objectOf(body['content'])[type])
  const shown = example ?? firstExample(site.openApi, examples)
  return html`<textarea data-type="${type}" rows="6" aria-label="Body as ${type}" spellcheck="false"${index > 0 ? html` hidden` : ''}>${shown === undefined ? '' : `\n${formatExample(shown)}`}</textarea>`
})}`
}
<p><button type="submit">Send</button> <span class="note" role="status"></span></p>
<div class="outcome" hidden><div class="answer"><h4>Answer</h4><p class="status-line"></p><pre><code></code></pre></div>${
    feed === undefined
      ? ''
      : html`<div class="heard"><h4>Messages</h4><p class="note heard-note"></p><ol></ol></div>`
  }</div>
</form>`
}
