/** The script of the pages, as browsers get it: the source in `browser/` without its types and comments. */
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'

let made: string | undefined

/** Works in a checkout and in the built package. */
export function readPageScript(): string {
  if (made !== undefined) return made
  const texts = ['message-check', 'docs'].map(name => {
    const file = new URL(`./browser/${name}${import.meta.url.slice(-3)}`, import.meta.url)
    const text = readFileSync(file, 'utf8')
    // One file after the other: their names differ, and only the last one imports.
    return (file.pathname.endsWith('.ts') ? stripTypes(text) : text)
      .replaceAll(/^import [^;']*? from '[^']*';?$/gm, '')
      .replaceAll(/^export (?:\{\};?\s*$)?/gm, '')
  })
  const short = texts
    .join('')
    .replaceAll(/^[ \t]*(?:\/\*\*[\s\S]*?\*\/|\/\/.*)[ \t]*\n/gm, '')
    .replaceAll(/[ \t]+$|^\s*\n/gm, '')
  made = `(()=>{'use strict'\n${short}})()\n`
  return made
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
