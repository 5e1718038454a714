/**
 * Who may follow what, and for how long: a lease, which ends by itself unless it is known to be still right.
 *
 * A ticket proves what a page was granted; `authorize` is asked at each hello, replays included, and again while the page is live.
 * PROTOCOL.md §9.11.
 */
import { checkCount, checkMethods, checkOptions, LockstepError, maxTimerMs } from '../contract/index.ts'
import type { Hello } from './frame.ts'
import type { Tickets } from './ticket.ts'
import { type Follow, isWithin } from './view.ts'

/** What `authorize` is asked. */
export interface AccessQuestion {
  /** Who asks: what the ticket says, or what `audience` made of the request; `''` where there is neither. */
  readonly audience: string
  readonly follow: readonly Follow[]
}

/** At least one of `tickets` and `authorize` is needed. */
export interface AccessOptions {
  /** Pages need a ticket. */
  readonly tickets?: Tickets
  /** Decides whether all of this may be followed; where it throws, nothing is granted, and what was granted ends with its lease. */
  readonly authorize?: (question: AccessQuestion) => boolean | Promise<boolean>
  /** How long an answer of `authorize` holds: what is withdrawn is delivered no longer than this. @default 60_000 */
  readonly leaseMs?: number
  /** How many questions to `authorize` may be open at once. @default 1_000 */
  readonly maxQuestions?: number
}

/** What a page may have now. */
export interface Lease {
  readonly audience: string
  readonly follow: readonly Follow[]
  /** When it ends, by the bridge's clock; `Infinity` where nothing expires. */
  readonly untilMs: number
  /** When it should be looked at again. */
  readonly recheckAtMs: number
}

export interface Access {
  /** Pages know how long a lease is only where there is one. */
  readonly isLeased: boolean
  /**
   * Errors: `invalid-frame` without paths, `invalid-ticket`, `ticket-expired`, `access-denied`, `overloaded`; `audience` is who the
   * connection comes from, where the application can tell.
   */
  admit(hello: Pick<Hello, 'follow' | 'ticket'>, audience: string | undefined): Promise<Lease>
  /** Looks again; gives the lease as it is from now on and the page's new ticket. Errors: as {@link admit}. */
  renew(
    lease: Lease,
    ticket: string | undefined,
  ): Promise<{ readonly lease: Lease; readonly ticket: string | undefined }>
  /** It can look again by itself, without a new ticket from the page. */
  readonly canRecheck: boolean
  /** Whatever is being asked about an audience, or about all, is asked anew: the answer that is on its way may be of before. */
  recheck(audience: string | undefined): void
}

const defaultLeaseMs = 60_000

/** Everyone may follow everything that the bridge has. */
const publicAccess: Access = {
  isLeased: false,
  canRecheck: false,
  async admit({ follow }, audience = '') {
    return {
      audience,
      follow: needFollow(follow),
      untilMs: Number.POSITIVE_INFINITY,
      recheckAtMs: Number.POSITIVE_INFINITY,
    }
  },
  renew: async lease => ({ lease, ticket: undefined }),
  recheck() {},
}

/** Makes what grants leases. Errors: `invalid-option`. */
export function createAccess(
  options: AccessOptions | 'public',
  now: () => number,
  random: () => number,
): Access {
  if (options === 'public') return publicAccess
  checkAccess(options)
  const { tickets, authorize } = options
  const leaseMs = checkCount('leaseMs', options.leaseMs ?? defaultLeaseMs, { min: 1_000, max: maxTimerMs })
  const maxQuestions = checkCount('maxQuestions', options.maxQuestions ?? 1_000)
  const questions = authorize === undefined ? undefined : createQuestions(authorize, maxQuestions, now)
  const ask = async (question: AccessQuestion): Promise<number> => (await questions?.ask(question)) ?? now()

  /**
   * `authorize` gives a lease of its own, from when it was asked; without it a lease is as long as its ticket. It is asked again while the ticket is
   * good, too: a page that has an old one could not renew it itself.
   */
  function lease(question: AccessQuestion, askedMs: number, ticketMs: number): Lease {
    const ms = authorize === undefined ? ticketMs : leaseMs
    const share = 0.4 + 0.2 * random()
    const recheckMs = authorize === undefined ? Number.POSITIVE_INFINITY : Math.min(ms, ticketMs) * share
    return { ...question, untilMs: askedMs + ms, recheckAtMs: askedMs + recheckMs }
  }

  async function admit(
    hello: Pick<Hello, 'follow' | 'ticket'>,
    audience: string | undefined,
  ): Promise<Lease> {
    if (tickets === undefined) {
      const question = { audience: audience ?? '', follow: needFollow(hello.follow) }
      return lease(question, await ask(question), Number.POSITIVE_INFINITY)
    }
    if (hello.ticket === undefined) {
      throw new LockstepError('invalid-ticket', 'This bridge wants a ticket, and the page sent none.')
    }
    const grant = tickets.verify(hello.ticket)
    if (audience !== undefined && audience !== grant.audience) {
      throw new LockstepError('invalid-ticket', 'The ticket was made for somebody else. Load the page again.')
    }
    const question = { audience: grant.audience, follow: hello.follow ?? grant.follow }
    if (!isWithin(question.follow, grant.follow)) {
      throw new LockstepError(
        'access-denied',
        'The page follows more than its ticket grants. Load the page again.',
      )
    }
    const askedMs = await ask(question)
    return lease(question, askedMs, tickets.remainingMs(grant))
  }

  return {
    isLeased: true,
    canRecheck: authorize !== undefined,
    admit,
    async renew(old, ticket) {
      if (ticket !== undefined)
        return { lease: await admit({ ticket, follow: old.follow }, old.audience), ticket: undefined }
      const askedMs = await ask(old)
      const { audience, follow } = old
      const ticketMs = tickets?.lifetimeMs ?? Number.POSITIVE_INFINITY
      return { lease: lease({ audience, follow }, askedMs, ticketMs), ticket: tickets?.issue(old) }
    },
    recheck: audience => questions?.recheck(audience),
  }
}

interface Questions {
  /** When the question was asked to which the answer was yes. Errors: `access-denied`, `overloaded`. */
  ask(question: AccessQuestion): Promise<number>
  recheck(audience: string | undefined): void
}

interface OpenQuestion {
  readonly audience: string
  readonly askedMs: number
  /** `again` where a newer answer is wanted than this one. */
  readonly answer: Promise<boolean | 'again'>
  readonly askAgain: () => void
}

/** Asks `authorize`; pages of the same audience that follow the same are asked about once. */
function createQuestions(
  authorize: NonNullable<AccessOptions['authorize']>,
  maxQuestions: number,
  now: () => number,
): Questions {
  const open = new Map<string, OpenQuestion>()
  let running = 0

  function begin(key: string, question: AccessQuestion): OpenQuestion {
    if (running >= maxQuestions) {
      throw new LockstepError(
        'overloaded',
        `Over ${maxQuestions} questions to authorize are open. Try again shortly.`,
      )
    }
    running += 1
    const { promise: answer, resolve, reject } = Promise.withResolvers<boolean | 'again'>()
    const begun = { audience: question.audience, askedMs: now(), answer, askAgain: () => resolve('again') }
    open.set(key, begun)
    ;(async () => await authorize(question))()
      .then(resolve, reject)
      .finally(() => {
        running -= 1
        if (open.get(key) === begun) open.delete(key)
      })
    return begun
  }

  return {
    async ask({ audience, follow }) {
      const key = JSON.stringify([audience, follow])
      for (;;) {
        const { answer, askedMs } = open.get(key) ?? begin(key, { audience, follow })
        const given = await answer
        if (given === true) return askedMs
        if (given === 'again') continue
        throw new LockstepError(
          'access-denied',
          'What the page follows may not be followed, or no longer. Load the page again.',
        )
      }
    },
    recheck(audience) {
      for (const [key, question] of open) {
        if (audience !== undefined && audience !== question.audience) continue
        open.delete(key)
        question.askAgain()
      }
    },
  }
}

function checkAccess(options: AccessOptions): void {
  const known = { tickets: true, authorize: true, leaseMs: true, maxQuestions: true } as const
  checkOptions('The access of openBridge', options, known)
  const { tickets, authorize } = options
  if (tickets === undefined && authorize === undefined) {
    throw new LockstepError(
      'invalid-option',
      'The access of openBridge has neither tickets nor authorize. Give one, or access: "public" where everyone may see everything.',
    )
  }
  if (tickets !== undefined) {
    checkMethods(
      'The tickets of openBridge',
      tickets,
      ['issue', 'verify'],
      'Give what createTickets returns.',
    )
  }
  if (authorize !== undefined && typeof authorize !== 'function') {
    throw new LockstepError('invalid-option', 'authorize is no function: ({ audience, follow }) => boolean.')
  }
}

function needFollow(follow: readonly Follow[] | undefined): readonly Follow[] {
  if (follow !== undefined) return follow
  throw new LockstepError(
    'invalid-frame',
    'The hello does not say what to follow: "follow": [{"path": "/people"}].',
  )
}
