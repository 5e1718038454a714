/**
 * How long does it take to bring an API's document to a joined one and to its pages?
 *
 * The documents are those of the folder in LOCKSTEP_DOCUMENTS (OpenAPI or Swagger, one file each), so that none has to be kept here;
 * without it there is one of our own.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { buildSite, joinOpenApi, parseDocumentText, upgradeOpenApi } from 'lockstep/documents'
import { defineResource, describeOpenApi } from 'lockstep/service'
import type { Figures, Prepared, Question, Setting } from './harness/question.ts'

export const question: Question = {
  name: 'documents',
  title: 'Documents of APIs: read, brought to OpenAPI 3.1, joined, and all pages made',
  budgetS: { full: 60, quick: 20 },
  prepare,
}

async function prepare({ quick }: Setting): Promise<Prepared> {
  return {
    columns: [
      { figure: 'kib', title: 'KiB', digits: 0 },
      { figure: 'operations', title: 'operations', digits: 0 },
      { figure: 'readMs', title: 'read ms', digits: 0 },
      { figure: 'upgradeMs', title: 'to 3.1 ms', digits: 0 },
      { figure: 'joinMs', title: 'join ms', digits: 0 },
      { figure: 'pagesMs', title: 'pages ms', digits: 0 },
      { figure: 'pagesKib', title: 'pages KiB', digits: 0 },
      { figure: 'rssMib', title: 'memory of the process MiB', digits: 0 },
    ],
    variants: listDocuments().map(([name, text]) => ({ name, measure: () => measure(name, text) })),
    rounds: quick ? 1 : 3,
    claims: [],
    notes: [
      'All in one process, one document after the other. The memory is that of the process then, with what came before.',
    ],
    async [Symbol.asyncDispose]() {},
  }
}

function listDocuments(): readonly (readonly [name: string, text: string])[] {
  const folder = process.env['LOCKSTEP_DOCUMENTS']
  if (folder === undefined) {
    const resource = defineResource('people', {
      schema: { type: 'object', properties: { name: { type: 'string' } } },
    })
    return [['our own', JSON.stringify(describeOpenApi({ resources: [resource] }))]]
  }
  return readdirSync(folder)
    .filter(name => /\.(json|ya?ml)$/.test(name) && statSync(path.join(folder, name)).isFile())
    .map(name => [name, readFileSync(path.join(folder, name), 'utf8')] as const)
}

async function measure(name: string, text: string): Promise<Figures> {
  const times: number[] = [performance.now()]
  const document = parseDocumentText(name, text)
  times.push(performance.now())
  const openApi = await upgradeOpenApi(name, document)
  times.push(performance.now())
  const joined = joinOpenApi([{ service: 'api', openApi }]).document
  times.push(performance.now())
  let pages = 0
  for (const [, page] of buildSite(joined)) pages += page.length
  times.push(performance.now())
  const [readMs, upgradeMs, joinMs, pagesMs] = times.slice(1).map((time, index) => time - times[index]!)
  return {
    kib: text.length / 1024,
    operations: JSON.stringify(joined['paths']).split('"operationId":').length - 1,
    readMs: readMs!,
    upgradeMs: upgradeMs!,
    joinMs: joinMs!,
    pagesMs: pagesMs!,
    pagesKib: pages / 1024,
    rssMib: process.memoryUsage().rss / 1_048_576,
  }
}
