/**
 * The browser module as browsers get it: files of plain JavaScript, made of the sources in `browser/`.
 *
 * It is no bundler: the sources that an entry imports are put one after the other, without their types, comments and imports among
 * each other, which is enough because their top-level names differ (a test holds that). It works in a checkout and in the built package.
 */
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'

/** What browsers load: `live.js`, and `views.js` where a page uses views; the others are loaded by `live.js` where it needs them. */
export const browserFileNames = [
  'live.js',
  'views.js',
  'event-stream.js',
  'lease.js',
  'live-status.js',
  'refresh.js',
] as const
export type BrowserFileName = (typeof browserFileNames)[number]

const importLine = /^(?:import|export) ([^;']*?) from '(\.\/[\w-]+\.[jt]s)';?\n/gm
const comment = /^[ \t]*(?:\/\*\*[\s\S]*?\*\/|\/\/.*)[ \t]*\n/gm
const exported = /^export (?=((?:async )?(?:const|let|function|class)) (\w+))/gm

/** Reads the sources of a file and puts them together. */
export function readBrowserFile(name: BrowserFileName): string {
  const extension = import.meta.url.slice(-3)
  const bodies = new Map<string, string>()
  const names: string[] = []
  const visit = (file: URL, isEntry: boolean): void => {
    if (bodies.has(file.href)) return
    bodies.set(file.href, '')
    const text = readJavaScript(file)
      .replace(comment, '')
      .replace(importLine, (line: string, list: string, specifier: string) => {
        visit(new URL(specifier, file), false)
        if (isEntry && line.startsWith('export')) names.push(...(list.match(/\w+/g) ?? []))
        return ''
      })
      .replace(exported, (_text, _kind, exportedName: string) => {
        if (isEntry) names.push(exportedName)
        return ''
      })
      .replace(/(import\('\.\/[\w-]+)\.ts'/g, "$1.js'")
    // Behind what it imports.
    bodies.delete(file.href)
    bodies.set(file.href, text)
  }
  visit(new URL(`./browser/${name.replace(/\.js$/, extension)}`, import.meta.url), true)
  return `${squeeze([...bodies.values()].join(''))}export{${names}}\n`
}

/** Texts, templates and regular expressions, which stay as they are. */
const literal =
  /('(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|(?<=[(,=:!&|?] ?)\/(?:[^/\\\n[]|\\.|\[[^\]\n]*\])+\/[a-z]*)/

/** Takes out the white space that types and indents leave; line ends stay, so that no semicolon is missing. */
function squeeze(text: string): string {
  const parts = text.split(literal).map((part, index) => {
    if (index % 2 === 1) return part
    return part
      .replace(/[ \t]*\n\s*/g, '\n')
      .replace(/ *([=+\-*<>?:|&!,;{}()[\]]) */g, '$1')
      .replace(/(?<=[{([,;=?:&|])\n|\n(?=[})\].?:&|])/g, '')
      .replace(/ {2,}/g, ' ')
      .replace(/,(?=[})])/g, '')
      .replace(/(?<=\d)_(?=\d)/g, '')
  })
  return shortenPrivateNames(parts.join('').trimStart())
}

/** Private names are known nowhere else, so that they may be as short as they can. */
function shortenPrivateNames(text: string): string {
  const names = [...new Set(text.match(/#[a-zA-Z]\w*/g))]
  return text.replace(/#[a-zA-Z]\w*/g, name => `#_${names.indexOf(name).toString(36)}`)
}

/** Reads a source as JavaScript: of TypeScript the types are taken out, which it must allow (erasable syntax). */
export function readJavaScript(file: URL): string {
  const text = readFileSync(file, 'utf8')
  if (!file.pathname.endsWith('.ts')) return text
  const { emitWarning } = process
  // Node says of this function that it is experimental; a program that serves pages need not say so again.
  process.emitWarning = () => {}
  try {
    return stripTypeScriptTypes(text)
  } finally {
    process.emitWarning = emitWarning
  }
}
