/**
 * A plain json-server file: each array is a collection of any objects.
 *
 * The protocol knows no singular resources (an object under a name of its own): they are left out, and that is said.
 */
import { type Fault, isJsonObject, type JsonObject, quote } from 'lockstep/contract'
import { defineResource } from 'lockstep/service'
import { readFirstRows } from './first-row.ts'
import type { ServedCollection, ServedContent } from './served-content.ts'
import { escapePointer } from './served-text.ts'

/** Reads the file's value. */
export function readJsonServerForm(value: JsonObject): ServedContent {
  const collections: ServedCollection[] = []
  const notices: string[] = []
  const faults: Fault[] = []
  for (const [name, content] of Object.entries(value)) {
    const pointer = `/${escapePointer(name)}`
    if (name === '$schema') continue
    if (Array.isArray(content)) {
      if (!isCollectionName(name)) {
        faults.push({
          pointer,
          detail: 'cannot name a collection: use A-Z, a-z, 0-9, "-" and "_" (not first)',
        })
        continue
      }
      const resource = defineResource(name, { schema: {} })
      const rowCounts = { numericIds: 0, madeIds: 0 }
      const firstRows = readFirstRows({ rows: content, parentIds: [], pointer }, resource, rowCounts, faults)
      collections.push({ resource, firstRows, rowCounts })
    } else if (isJsonObject(content)) {
      const example = `"${name}": [{ "id": "1", … }]`
      notices.push(
        `${name} is not served: it is an object, and the protocol has collections only. Write ${example} to serve it at /${name}/1.`,
      )
    } else {
      faults.push({
        pointer,
        detail: `is ${quote(JSON.stringify(content), 40)}; a collection is an array of objects`,
      })
    }
  }
  return { settings: {}, collections, notices, faults }
}

/** What {@link defineResource} takes as a template of one segment. */
function isCollectionName(name: string): boolean {
  return /^[A-Za-z0-9-][A-Za-z0-9_-]*$/.test(name)
}
