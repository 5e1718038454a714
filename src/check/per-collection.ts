/** Checks that are made on each collection of an API. */
import type { JsonObject } from '../contract/index.ts'
import type { Context } from './context.ts'
import type { Judge } from './judge.ts'
import type { Collection } from './outline.ts'

/** Runs a part of a check on each collection. */
export async function onEach(
  context: Context,
  judge: Judge,
  fits: (collection: Collection) => boolean,
  lack: string,
  part: (collection: Collection, place: string) => Promise<void>,
): Promise<void> {
  const collections = context.outline.collections.filter(fits)
  if (collections.length === 0) judge.skip(lack)
  for (const collection of collections) await part(collection, await context.place(collection))
  judge.say(`${collections.length === 1 ? '1 collection' : `${collections.length} collections`}`)
}

export const any = (): boolean => true
export const patches = ({ methods }: Collection): boolean => methods.has('PATCH')

/** A patch that changes the resource. The check is skipped where none was found. */
export function varied(
  context: Context,
  judge: Judge,
  collection: Collection,
  state: JsonObject,
): JsonObject {
  const patch = collection.sampler.vary(state, context.nextNumber())
  if (patch === undefined)
    return judge.skip(
      `nothing to change was found in ${JSON.stringify(state)}: give "patch" in a file of resources`,
    )
  return patch
}
