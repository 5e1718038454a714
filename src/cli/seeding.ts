/**
 * Writes the first rows of new collections, once, as anybody would write them: through a service, with a message each.
 *
 * A crash in between is made good by the next start: rows that are there, or were deleted meanwhile, are passed over.
 */
import { encodeSegment, isLockstepError } from 'lockstep/contract'
import { openService, type Service } from 'lockstep/service'
import type { DataFolder } from './data-folder.ts'
import { count, describeRowCounts, type FirstRow, type RowCounts } from './first-row.ts'
import type { ServedCollection } from './served-content.ts'

/** What became of one collection's rows. */
export interface Seeded {
  readonly template: string
  /** `undefined` where the collection was not new. */
  readonly written: number | undefined
  /** What was done to the ids of rows that were written. */
  readonly rowCounts: RowCounts
  /** Rows that were not written because their parent is not there any more, in words. */
  readonly orphans: readonly string[]
}

/** What is to be said about rows that were written. */
export function describeSeeding(seeded: readonly Seeded[]): string[] {
  const counts = new Map(seeded.map(({ template, rowCounts }) => [template, rowCounts]))
  return [...describeRowCounts(counts), ...seeded.flatMap(({ orphans }) => orphans)]
}

const batchRows = 1_000

/** Writes the rows of those collections that were never served before. Errors: those of the change log. */
export async function writeFirstRows(
  collections: readonly ServedCollection[],
  data: DataFolder,
): Promise<readonly Seeded[]> {
  const service = await openService({ resources: collections.map(({ resource }) => resource), log: data.log })
  try {
    const seeded = new Map<ServedCollection, Seeded>()
    for (const collection of parentsFirst(collections)) {
      const { template, route } = collection.resource
      const isNew = data.isNew(route)
      seeded.set(
        collection,
        isNew
          ? await writeRows(service, data, collection)
          : { template, written: undefined, rowCounts: { numericIds: 0, madeIds: 0 }, orphans: [] },
      )
    }
    await data.noteServed(collections.map(({ resource }) => resource.route))
    return collections.map(collection => seeded.get(collection)!)
  } finally {
    await service.close()
  }
}

async function writeRows(
  service: Service,
  data: DataFolder,
  { resource, firstRows, rowCounts }: ServedCollection,
): Promise<Seeded> {
  const { template } = resource
  const orphans: string[] = []
  let written = 0
  const isKnown = async ({ parentIds, id }: FirstRow): Promise<boolean> => {
    const { path } = resource.in(...parentIds)
    const { resource: stored } = await data.log.readResource(`${path}/${encodeSegment(id)}`)
    return stored.stateText !== undefined || stored.deleted
  }
  for (let start = 0; start < firstRows.length; start += batchRows) {
    const rows: FirstRow[] = []
    for (const row of firstRows.slice(start, start + batchRows)) if (!(await isKnown(row))) rows.push(row)
    const byParent = Map.groupBy(rows, row => JSON.stringify(row.parentIds))
    for (const siblings of byParent.values()) {
      const place = resource.in(...siblings[0]!.parentIds)
      try {
        await service.transaction(async tx => {
          for (const { state } of siblings) await tx.create(place, state)
        })
        written += siblings.length
      } catch (error) {
        // Somebody deleted the parent before the collection came into the file.
        if (!isLockstepError(error, 'not-found') && !isLockstepError(error, 'gone')) throw error
        orphans.push(
          `${count(siblings.length, 'row')} of ${place.path} ${siblings.length === 1 ? 'was' : 'were'} not written: ${error.message}`,
        )
      }
    }
  }
  return { template, written, rowCounts, orphans }
}

function parentsFirst(collections: readonly ServedCollection[]): readonly ServedCollection[] {
  return collections.toSorted(
    (a, b) => a.resource.route.split('/').length - b.resource.route.split('/').length,
  )
}
