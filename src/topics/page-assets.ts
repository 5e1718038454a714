/** What the pages load, and the headers that keep everything else out. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { stripTypeScriptTypes } from 'node:module'
import { LockstepError, quote } from '../contract/index.ts'
import type { Answer } from './answer.ts'
import { styleSheet } from './style-sheet.ts'

/** Nothing from elsewhere, nothing inline, nothing framed. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

export const pageHeaders: Readonly<Record<string, string>> = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': policy,
  'cache-control': 'no-store',
  vary: 'Accept, Origin',
  // Without a referrer a form would come from nowhere, as one of another site may.
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

interface Asset {
  readonly type: string
  readonly text: string
  readonly etag: string
}

const readers: Readonly<Record<string, () => Omit<Asset, 'etag'>>> = {
  style: () => ({ type: 'text/css; charset=utf-8', text: styleSheet }),
  script: () => ({ type: 'text/javascript; charset=utf-8', text: readScript() }),
}
const assets = new Map<string, Asset>()

/** Answers `?asset=style` and `?asset=script` of the root. Errors: `not-found`. */
export function readAsset(request: IncomingMessage, name: string): Answer {
  const { type, text, etag } = assets.get(name) ?? makeAsset(name)
  const headers = { 'content-type': type, etag, 'cache-control': 'no-cache' }
  if (request.headers['if-none-match'] === etag) return { status: 304, headers }
  return { status: 200, headers, body: text }
}

function makeAsset(name: string): Asset {
  const reader = Object.hasOwn(readers, name) ? readers[name] : undefined
  if (reader === undefined)
    throw new LockstepError('not-found', `There is no file ${quote(name)} for the pages.`)
  const made = reader()
  const etag = `"${createHash('sha256').update(made.text).digest('base64url').slice(0, 22)}"`
  const asset = { ...made, etag }
  assets.set(name, asset)
  return asset
}

/** Works in a checkout and in the built package. */
function readScript(): string {
  const file = new URL(`./browser/page${import.meta.url.slice(-3)}`, import.meta.url)
  const text = readFileSync(file, 'utf8')
  return file.pathname.endsWith('.ts') ? stripTypes(text) : text
}

function stripTypes(text: string): string {
  const { emitWarning } = process
  // Node says of this function that it is experimental; a program that serves pages need not say so again.
  process.emitWarning = () => {}
  try {
    return stripTypeScriptTypes(text)
  } finally {
    process.emitWarning = emitWarning
  }
}
