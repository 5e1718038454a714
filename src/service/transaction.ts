/**
 * Writing in-process: the operations of REST on declared resources, inside one transaction of the log, through
 * the same checks and with the same messages.
 */
import { encodeSegment, isReservedSegment, type Json, LockstepError, quote } from '../contract/index.ts'
import type { LogTransaction } from '../log/change-log.ts'
import {
  createResource,
  type Outcome,
  patchResource,
  putResource,
  removeResource,
  type WriteContext,
} from './mirror.ts'
import type { Collection, OmitId, Resource } from './resource.ts'
import { createMergePatch } from './state-patch.ts'

/** A resource at the top, or a nested one at its place: `people`, `friends.in('johndoe')`. */
export type Place<State extends object> = Resource<State> | Collection<State>

/** What creates a resource: its state, with or without an `id`. */
export type NewState<State> = OmitId<State> & { readonly id?: string }

/** A merge patch of a state: members to set, `null` to remove; an array is replaced as a whole. */
export type Patch<State> = { readonly [Name in keyof State]?: PatchValue<State[Name]> | null }

type PatchValue<Value> = Value extends readonly unknown[]
  ? Value
  : Value extends object
    ? Patch<Value>
    : Value

/** The operations run one after another, in the order of the calls. */
export interface Transaction {
  /** POST. Errors: `already-exists`, `invalid-id`, `invalid-state`, `not-found` (the parent). */
  create<State extends object>(place: Place<State>, state: NewState<State>): Promise<State>
  /** PUT: the whole new state; creates where nothing is. Errors: `invalid-id`, `invalid-state`, `not-found` (the parent). */
  put<State extends object>(place: Place<State>, id: string, state: NewState<State>): Promise<State>
  /** PATCH. Errors: `not-found`, `gone`, `invalid-state`, `invalid-id`, `body-too-large`. */
  patch<State extends object>(place: Place<State>, id: string, patch: Patch<State>): Promise<State>
  /** DELETE, with all that is nested below. Errors: `not-found`, `gone`, `too-many-changes`. */
  remove<State extends object>(place: Place<State>, id: string): Promise<void>
  /** Reads a resource as this transaction sees it; `undefined` where it is not. */
  read<State extends object>(place: Place<State>, id: string): Promise<State | undefined>
}

/** Finds where a place is, and refuses what is not among the service's resources. */
export type Locate = <State extends object>(place: Place<State>) => Collection<State>

/** What a unit of work is given. */
export type Work<T> = (tx: Transaction) => Promise<T>

/**
 * Runs a unit of work on top of a log's transaction. Errors: those of the work; `invalid-option` where it is no
 * function, or did not wait for all of its operations.
 */
export async function runWork<T>(
  work: Work<T>,
  tx: LogTransaction,
  locate: Locate,
  context: WriteContext,
): Promise<T> {
  const turns = new Turns()
  const value = await work(createTransaction(tx, locate, context, turns))
  await turns.end()
  return value
}

/** Makes the operations on top of a log's transaction. */
function createTransaction(
  tx: LogTransaction,
  locate: Locate,
  context: WriteContext,
  turns: Turns,
): Transaction {
  return {
    create: (place, state) =>
      turns.take('create', async () => {
        const { resource, path } = locate(place)
        return stateOf(await createResource(tx, resource, path, toJson(state), context))
      }),
    put: (place, id, state) =>
      turns.take('put', async () => {
        const { resource, path } = locate(place)
        return stateOf(await putResource(tx, resource, pathOf(path, id), toJson(state), context))
      }),
    patch: (place, id, patch) =>
      turns.take('patch', async () => {
        const { resource, path } = locate(place)
        const change = createMergePatch(resource, toJson(patch))
        return stateOf(await patchResource(tx, resource, pathOf(path, id), change, context))
      }),
    remove: (place, id) =>
      turns.take('remove', async () => {
        await removeResource(tx, pathOf(locate(place).path, id), context)
      }),
    read: (place, id) =>
      turns.take('read', async () => {
        const { stateText } = await tx.read(pathOf(locate(place).path, id))
        return stateText === undefined ? undefined : JSON.parse(stateText)
      }),
  }
}

/** The operations of one unit of work, one after another: two at a time could both read what neither has written yet. */
class Turns {
  #last: Promise<unknown> = Promise.resolve()
  /** Those that run, and those that nobody waits for. */
  readonly #open = new Set<Operation<unknown>>()

  take<T>(name: string, run: () => Promise<T>): Promise<T> {
    const operation = new Operation<T>(name, this.#last.then(run))
    this.#open.add(operation)
    this.#last = operation.settled.then(() => {
      if (operation.awaited) this.#open.delete(operation)
    })
    return operation
  }

  /** To be called when the work has ended. Errors: `invalid-option` where it did not wait for all of its operations. */
  async end(): Promise<void> {
    const forgotten = [...this.#open].find(({ awaited, isSettled }) => !(awaited && isSettled))
    if (forgotten === undefined) return
    // What still runs ends first, or it would fail at a transaction that is no more.
    for (let last: unknown; last !== this.#last; ) {
      last = this.#last
      await last
    }
    throw new LockstepError(
      'invalid-option',
      `The work of a transaction did not wait for tx.${forgotten.name}(…), so nothing was written. Await each operation: async tx => { await tx.${forgotten.name}(…) }.`,
      { cause: forgotten.error },
    )
  }
}

/** A promise that knows whether anyone waits for it. Where nobody does, its failure ends no process. */
class Operation<T> extends Promise<T> {
  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  readonly name: string
  /** Resolves when it is over, well or not. */
  readonly settled: Promise<void>
  awaited = false
  isSettled = false
  error: unknown

  constructor(name: string, result: Promise<T>) {
    super(resolve => resolve(result))
    this.name = name
    const end = (): void => {
      this.isSettled = true
    }
    this.settled = super.then(end, error => {
      this.error = error
      end()
    })
  }

  // biome-ignore lint/suspicious/noThenProperty: it is a promise
  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.awaited = true
    return super.then(onFulfilled, onRejected)
  }
}

/** Knows the places of a service's resources. Errors of what it makes: `invalid-option`. */
export function createLocate(routes: ReadonlyMap<string, Resource<object>>): Locate {
  return place => {
    const collection = 'path' in place ? place : place.in()
    const { resource } = collection
    if (routes.get(resource.route) === (resource as Resource<object>)) return collection
    throw new LockstepError(
      'invalid-option',
      `The resource ${quote(resource.template)} is not among those that this service was opened with.`,
    )
  }
}

/** The canonical path of an id in a collection. Errors: `invalid-path`, `invalid-id` for a reserved one. */
export function pathOf(collectionPath: string, id: string): string {
  if (isReservedSegment(id)) {
    throw new LockstepError(
      'invalid-id',
      `The id ${quote(id)} cannot be used: "_" at its beginning is reserved.`,
    )
  }
  return `${collectionPath}/${encodeSegment(id)}`
}

/** What is written must be what a reader gets: through JSON once, so that dates and undefined members are as on the wire. */
function toJson(value: unknown): Json {
  const text = JSON.stringify(value, refuseLostNumber)
  if (text === undefined)
    throw new LockstepError('invalid-state', `A state is an object, not ${quote(value)}.`)
  return JSON.parse(text) as Json
}

/** JSON would make null of it without a word. */
function refuseLostNumber(this: unknown, name: string, value: unknown): unknown {
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new LockstepError('unsafe-number', `The member ${quote(name)} is ${value}, which JSON cannot hold.`)
  }
  return value
}

function stateOf<State>({ stateText }: Outcome): State {
  return JSON.parse(stateText) as State
}
