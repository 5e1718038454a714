/**
 * Serves the browser module beside the bridge: `/live/live.js` and what it loads, and `/live/idiomorph.js` where that package is installed.
 *
 * Caches keep nothing without asking, since a page and its module belong to one version.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { fileURLToPath } from 'node:url'
import { checkOptions, LockstepError } from '../contract/index.ts'
import { browserFileNames, readBrowserFile, readJavaScript } from './browser-module.ts'

export interface BrowserFilesOptions {
  /** The folder of the files on the server: that of the bridge. @default '/live' */
  readonly path?: string
  /**
   * Further modules by their URL on the server, such as the views that server and browser share: `{ '/views.js': new URL('./views.ts',
   * import.meta.url) }`. TypeScript is served without its types, and what they import from `lockstep/live/browser`, `lockstep/live/views` and
   * `idiomorph` leads to the files that are served here. @default none
   */
  readonly modules?: Readonly<Record<string, URL>>
}

export interface BrowserFiles {
  /** The URL of `live.js`. */
  readonly live: string
  /** The URL of `views.js`. */
  readonly views: string
  /** The URL of Idiomorph, as a module. */
  readonly idiomorph: string
  /** Answers a GET or HEAD of one of the files; `false`, and nothing done, for everything else. */
  handle(request: IncomingMessage, response: ServerResponse): boolean
}

/** Makes what serves the browser module. Errors: `invalid-option`. */
export function createBrowserFiles(options: BrowserFilesOptions = {}): BrowserFiles {
  checkOptions('createBrowserFiles', options, { path: true, modules: true })
  const { path = '/live', modules = {} } = options
  const readers = new Map<string, () => string>(
    browserFileNames.map(name => [`${path}/${name}`, () => readBrowserFile(name)]),
  )
  readers.set(`${path}/idiomorph.js`, readIdiomorph)
  for (const [url, file] of Object.entries(modules)) {
    readers.set(url, () => pointImports(readJavaScript(file), path))
  }
  /** What was read once: text and tag. */
  const files = new Map<string, { readonly text: string; readonly etag: string }>()

  function read(url: string, reader: () => string): { readonly text: string; readonly etag: string } {
    let file = files.get(url)
    if (file === undefined) {
      const text = reader()
      file = { text, etag: `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"` }
      files.set(url, file)
    }
    return file
  }

  return {
    live: `${path}/live.js`,
    views: `${path}/views.js`,
    idiomorph: `${path}/idiomorph.js`,
    handle(request, response) {
      const url = request.url?.split('?', 1)[0] ?? ''
      const reader = readers.get(url)
      const { method } = request
      if (reader === undefined || (method !== 'GET' && method !== 'HEAD')) return false
      try {
        const { text, etag } = read(url, reader)
        const headers = { etag, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' }
        const isSame = request.headers['if-none-match'] === etag
        response.writeHead(isSame ? 304 : 200, {
          ...headers,
          'content-type': 'text/javascript; charset=utf-8',
        })
        response.end(isSame || method === 'HEAD' ? undefined : text)
      } catch (error) {
        const text = error instanceof LockstepError ? error.message : 'The file could not be read.'
        response.writeHead(404, { 'content-type': 'text/plain; charset=utf-8' }).end(`${text}\n`)
      }
      return true
    },
  }
}

const packageNames: Readonly<Record<string, string>> = {
  'lockstep/live/browser': 'live.js',
  'lockstep/live/views': 'views.js',
  idiomorph: 'idiomorph.js',
}

/** A browser does not know packages; it is led to the files beside the bridge. */
function pointImports(text: string, path: string): string {
  return text.replace(
    /(\bfrom\s*|\bimport\s*\(?\s*)(['"])([\w/-]+)\2/g,
    (all, before: string, _quote, name: string) => {
      const file = Object.hasOwn(packageNames, name) ? packageNames[name] : undefined
      return file === undefined ? all : `${before}'${path}/${file}'`
    },
  )
}

function readIdiomorph(): string {
  try {
    return readFileSync(fileURLToPath(import.meta.resolve('idiomorph')), 'utf8')
  } catch (cause) {
    throw new LockstepError(
      'missing-dependency',
      'The package idiomorph is not installed: npm install idiomorph',
      {
        cause,
      },
    )
  }
}
