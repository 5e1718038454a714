/**
 * Reads the source files with their imports, for the tests that hold the layout.
 *
 * It reads lines, as the formatter leaves them, and no syntax tree: enough for import and export lines.
 */
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'

export const root: string = path.dirname(import.meta.dirname)

export interface SourceFile {
  /** From the root, with slashes: `src/broker/mqtt.ts`. */
  readonly path: string
  /** `broker` for `src/broker/mqtt.ts`. */
  readonly part: string
  readonly text: string
  /** What it imports, type imports too: a path from the root for relative ones, else the specifier as it stands. */
  readonly imports: readonly string[]
}

/** The TypeScript files below a folder of the project; none where there is no such folder. */
export function readSources(folder: string): readonly SourceFile[] {
  return globSync(`${folder}/**/*.ts`, { cwd: root, exclude: name => name === 'node_modules' })
    .map(file => file.split(path.sep).join('/'))
    .sort()
    .map(file => readSource(file))
}

/** Reads one file, given from the root. */
export function readSource(file: string): SourceFile {
  const text = readFileSync(path.join(root, file), 'utf8')
  const code = text.replace(/^\s*\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '')
  const specifiers = [
    ...code.matchAll(/^(?:import|export|\}) .*?from '([^']+)'/gm),
    ...code.matchAll(/^import '([^']+)'/gm),
    ...code.matchAll(/\bimport\(\s*'([^']+)'/g),
    ...code.matchAll(/\bnew URL\(\s*'([^']+\.ts)', import\.meta\.url/g),
  ].map(match => match[1]!)
  return {
    path: file,
    part: file.split('/')[1]!,
    text,
    imports: specifiers.map(specifier =>
      specifier.startsWith('.') ? path.posix.join(path.posix.dirname(file), specifier) : specifier,
    ),
  }
}
