/**
 * What happens when the served file changes: it is read anew and taken over as a whole, or refused and the last
 * good one stays. One change after the other.
 */
import { isEqualJson, type JsonObject } from 'lockstep/contract'
import type { DataFolder } from './data-folder.ts'
import { explain } from './failure.ts'
import { count } from './first-row.ts'
import { describeSeeding, type Seeded, writeFirstRows } from './seeding.ts'
import type { ServedCollection } from './served-content.ts'
import { parseServedFile, readServedText, type ServedFile } from './served-file.ts'
import type { ServedSystem } from './served-system.ts'
import { paintError, printLine, printNotice, printWarning } from './terminal.ts'

export interface ReloadOptions {
  readonly file: ServedFile
  readonly data: DataFolder
  readonly system: ServedSystem
  /** The settings that would be others if it were started with this file. */
  readonly listWaiting: (file: ServedFile) => readonly string[]
  /** Says of an error what is wrong with the data folder, where that is at fault. */
  readonly explainData: (error: unknown) => unknown
}

/** Makes what is to be called whenever the file may have changed. It never rejects. */
export function createReload({ file, data, system, ...options }: ReloadOptions): () => Promise<void> {
  let current = file
  /** What was tried last, good or not, so that nothing is said twice; `undefined` where there was no file. */
  let lastTried: string | undefined = file.text
  /** Why there was no text the last time. */
  let lastObstacle = ''
  let running = Promise.resolve()

  async function take(text: string): Promise<void> {
    const next = parseServedFile(file.path, text)
    const seeded = await writeFirstRows(next.collections, data)
    await system.replace(next.collections.map(({ resource }) => resource))
    for (const line of describeReload(current, next, seeded, options.listWaiting(next))) printLine(line)
    const notices = [...next.notices, ...describeSeeding(seeded)]
    for (const notice of notices) printWarning(notice)
    current = next
  }

  async function reload(): Promise<void> {
    try {
      const text = await readText()
      if (text === lastTried) return
      lastTried = text
      if (text !== undefined) await take(text)
    } catch (error) {
      refuse(explain(options.explainData(error)))
    }
  }

  /** `undefined` where there is none to be read, which is said once. */
  async function readText(): Promise<string | undefined> {
    let obstacle: string
    try {
      const text = await readServedText(file.path)
      lastObstacle = ''
      if (text !== undefined) return text
      obstacle = `${file.name} is gone.`
    } catch (error) {
      obstacle = explain(error)
    }
    if (obstacle !== lastObstacle) refuse(obstacle)
    lastObstacle = obstacle
    return undefined
  }

  function refuse(reason: string): void {
    const space = reason.includes('\n') ? '\n' : ' '
    printNotice(`${paintError('red', 'lockstep:')} ${reason}${space}What runs goes on as before.`)
  }

  return () => {
    running = running.then(reload)
    return running
  }
}

/** What is different now, a line each. */
function describeReload(
  before: ServedFile,
  after: ServedFile,
  seeded: readonly Seeded[],
  waiting: readonly string[],
): string[] {
  const old = new Map(before.collections.map(collection => [collection.resource.template, collection]))
  const lines = [`${after.name} was read again.`]
  for (const collection of after.collections) {
    const { template } = collection.resource
    const was = old.get(template)
    old.delete(template)
    const written = seeded.find(each => each.template === template)?.written
    const line = describeCollection(was, collection, written)
    if (line !== undefined) lines.push(`  ${template}: ${line}`)
  }
  for (const template of old.keys()) lines.push(`  ${template}: served no more; what is kept of it stays`)
  for (const name of waiting) lines.push(`  ${name}: takes effect at the next start`)
  return lines.length === 1 ? [`${after.name} was read again: nothing that is served changed.`] : lines
}

function describeCollection(
  was: ServedCollection | undefined,
  is: ServedCollection,
  written: number | undefined,
): string | undefined {
  if (was === undefined) {
    if (written === undefined) return 'served again, with what was kept'
    return written === 0 ? 'new' : `new, ${count(written, 'row')}`
  }
  const schema = isEqualJson(was.resource.schema as JsonObject, is.resource.schema as JsonObject)
  const rows = JSON.stringify(was.firstRows) === JSON.stringify(is.firstRows)
  if (!schema) return 'has a new schema, for writes from now on'
  return rows ? undefined : 'its rows are only written when it is new; --reset begins with them afresh'
}
