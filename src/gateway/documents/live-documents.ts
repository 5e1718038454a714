/**
 * The live documents at `/docs`: pages, script and the joined documents themselves, per face, made of what is gathered.
 *
 * What a face is shown is what it may use. A page is made when it is asked for and kept until the documents change.
 */
import { createHash } from 'node:crypto'
import type { JsonObject } from '../../contract/index.ts'
import type { OwnPages } from '../own-pages.ts'
import type { GatewayAnswer, GatewayRequest } from '../request.ts'
import type { Audience, Gatherer } from './gatherer.ts'
import { joinAsyncApi } from './join-asyncapi.ts'
import { joinOpenApi } from './join-openapi.ts'
import { readPageScript } from './page-script.ts'
import { createPages, createSearchIndex, type PageMakers } from './page-view.ts'
import type { JoinOptions } from './part.ts'
import { createSite } from './site.ts'
import { icon, styleSheet } from './style-sheet.ts'

export interface LiveDocumentsOptions {
  readonly gatherer: Gatherer
  /** Where the pages are. @default '/docs' */
  readonly path?: string
  /** What the documents of each face say of themselves, and where its root is. @default as joined by itself */
  readonly faces?: Readonly<Record<string, Omit<JoinOptions, 'audience'>>>
}

/** Both documents of a face, joined. */
export interface JoinedDocuments {
  readonly openApi: JsonObject
  /** `undefined` where no service tells of messages. */
  readonly asyncApi: JsonObject | undefined
  readonly notes: readonly string[]
}

export interface LiveDocuments extends OwnPages {
  /** The documents of a face as they are now. */
  documents(face: string): JoinedDocuments
}

interface Made extends JoinedDocuments {
  readonly revision: number
  readonly pages: PageMakers
  readonly searchIndex: () => string
  /** By the name of the file. */
  readonly files: Map<string, File>
}

interface File {
  readonly type: string
  readonly text: string
  readonly etag: string
}

/** Nothing from elsewhere, nothing inline, nothing framed. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types docs"

const security: Readonly<Record<string, string>> = {
  'content-security-policy': policy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

/** Makes what answers below `path`. It does not close the gatherer. */
export function createLiveDocuments(options: LiveDocumentsOptions): LiveDocuments {
  const { gatherer, path = '/docs', faces = {} } = options
  const made = new Map<string, Made>()

  function of(face: string): Made {
    const known = made.get(face)
    if (known?.revision === gatherer.revision) return known
    const next = make(gatherer, face === 'internal' ? 'internal' : 'public', faces[face] ?? {})
    made.set(face, next)
    return next
  }

  return {
    documents(face) {
      const { openApi, asyncApi, notes } = of(face)
      return { openApi, asyncApi, notes }
    },
    answer({ method, path: asked, face, headers }) {
      if (asked !== path && !asked.startsWith(`${path}/`)) return undefined
      if (method !== 'GET' && method !== 'HEAD') {
        return { status: 405, headers: { allow: 'GET, HEAD', ...security } }
      }
      if (asked === path) return { status: 308, headers: { location: `${path}/`, ...security } }
      const file = fileOf(of(face), asked.slice(path.length + 1) || 'index.html')
      if (file === undefined) return notFound(path)
      return answerWith(file, method, headers)
    },
    async close() {
      made.clear()
    },
  }
}

function make(gatherer: Gatherer, audience: Audience, join: Omit<JoinOptions, 'audience'>): Made {
  const { revision } = gatherer
  const parts = gatherer.parts(audience)
  const openApi = joinOpenApi(parts, { ...join, audience })
  const asyncApi = parts.some(part => part.asyncApi !== undefined)
    ? joinAsyncApi(parts, { ...join, audience })
    : undefined
  const site = createSite(openApi.document, asyncApi?.document)
  return {
    revision,
    openApi: openApi.document,
    asyncApi: asyncApi?.document,
    notes: [...openApi.notes, ...(asyncApi?.notes ?? [])],
    pages: createPages(site, { isLive: true }),
    searchIndex: () => createSearchIndex(site),
    files: new Map(),
  }
}

function fileOf(made: Made, name: string): File | undefined {
  const known = made.files.get(name)
  if (known !== undefined) return known
  const content = makeFile(made, name)
  if (content === undefined) return undefined
  const [type, text] = content
  const file = { type, text, etag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` }
  made.files.set(name, file)
  return file
}

function makeFile(made: Made, name: string): [type: string, text: string] | undefined {
  switch (name) {
    case 'docs.css':
      return ['text/css; charset=utf-8', styleSheet]
    case 'docs.js':
      return ['text/javascript; charset=utf-8', readPageScript()]
    case 'icon.svg':
      return ['image/svg+xml', icon]
    case 'search-index.js':
      return ['text/javascript; charset=utf-8', made.searchIndex()]
    case 'openapi.json':
      return ['application/json; charset=utf-8', `${JSON.stringify(made.openApi)}\n`]
    case 'asyncapi.json':
      return made.asyncApi && ['application/json; charset=utf-8', `${JSON.stringify(made.asyncApi)}\n`]
    default: {
      const maker = name.endsWith('.html') ? made.pages.get(name.slice(0, -5)) : undefined
      return maker && ['text/html; charset=utf-8', maker()]
    }
  }
}

function answerWith(
  { type, text, etag }: File,
  method: string,
  headers: GatewayRequest['headers'],
): GatewayAnswer {
  const shared = { etag, 'cache-control': 'no-cache', vary: 'Host', ...security }
  if (headers['if-none-match'] === etag) return { status: 304, headers: shared }
  return {
    status: 200,
    headers: { 'content-type': type, ...shared },
    ...(method === 'HEAD' ? {} : { body: text }),
  }
}

function notFound(path: string): GatewayAnswer {
  return {
    status: 404,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store', ...security },
    body: `There is no such page. The documents begin at ${path}/.\n`,
  }
}
