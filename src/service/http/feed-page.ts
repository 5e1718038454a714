/**
 * Reads pages of the feed: an interval of the change log from one snapshot, whole or compact. PROTOCOL.md §5.
 *
 * A position that cannot be proven is refused, never rounded; one that is ahead is waited for shortly.
 */
import {
  completeMessage,
  formatMarker,
  formatOpenMessage,
  formatPosition,
  type Head,
  LockstepError,
  type Position,
} from '../../contract/index.ts'
import { type HandlerContext, markerOf } from './context.ts'

export interface FeedRequest {
  readonly after: Position
  readonly limit: number
  /** Stop after so many characters of messages; at least one is given. */
  readonly maxChars?: number
  readonly compact: boolean
  /** Only changes of this path and below. */
  readonly under: string | undefined
  /** Event streams that wait at one place are woken together: they may be given one page that is read once. */
  readonly shared?: boolean
}

/** What one page gives, from one snapshot. `messages` are JSON texts with the number of each. */
export interface FeedPage {
  readonly head: Head
  /** The last number covered. */
  readonly to: number
  readonly messages: readonly { readonly seq: number; readonly text: string }[]
  /** How many commits in the stream had been heard before it was read; see HeadWatch. */
  readonly commits: number
}

/** How long a reader that is ahead of this instance waits for it. */
const aheadWaitMs = 1_000

/** Reads a page; waits a moment for a position that is ahead. Errors: `position-gone`, `position-ahead`. */
export async function readPage(
  context: HandlerContext,
  request: FeedRequest,
  signal: AbortSignal,
): Promise<FeedPage> {
  const { after } = request
  const deadline = performance.now() + aheadWaitMs
  for (;;) {
    const commits = context.watch.count(after.stream)
    const read = (): Promise<Content> => (request.compact ? readLatest : readAll)(context, request)
    const content = await (request.shared ? context.share(keyOf(request, commits), read) : read())
    const page = { ...content, commits }
    const { epoch, seq, first } = page.head
    if (after.epoch !== epoch || after.seq < first - 1) throw positionGone(after, page.head)
    if (after.seq <= seq) return page
    const leftMs = deadline - performance.now()
    if (leftMs <= 0 || signal.aborted) {
      throw new LockstepError(
        'position-ahead',
        `${formatPosition(after)} is ahead of this service, which is at ${seq}. Try again shortly.`,
      )
    }
    await context.watch.moved(after.stream, commits, leftMs, signal)
  }
}

type Content = Omit<FeedPage, 'commits'>

/** With the number of commits heard, so that nobody is given a page from before the commit that woke him. */
function keyOf({ after, limit, maxChars, compact, under }: FeedRequest, commits: number): string {
  return ['feed', commits, after.stream, after.seq, limit, maxChars, compact, under].join(' ')
}

async function readAll({ log }: HandlerContext, request: FeedRequest): Promise<Content> {
  const { after, limit, maxChars, under } = request
  const options = { after: after.seq, limit, maxChars, under }
  const { head, to, changes } = await log.readChanges(after.stream, options)
  return { head, to, messages: changes.map(({ seq, messageText }) => ({ seq, text: messageText })) }
}

async function readLatest({ log, now }: HandlerContext, request: FeedRequest): Promise<Content> {
  const { after, limit, maxChars, under } = request
  const { head, to, latest } = await log.readLatest(after.stream, {
    after: after.seq,
    limit,
    maxChars,
    under,
  })
  const time = new Date(now()).toISOString()
  const messages = latest.map(({ path, seq, version, stateText }) => {
    const event = stateText === undefined ? 'deleted' : version === 1 ? 'created' : 'modified'
    const openText = formatOpenMessage({ event, resource: path, version, time, stateText })
    return { seq, text: completeMessage(openText, { stream: head.stream, epoch: head.epoch, seq }) }
  })
  return { head, to, messages }
}

function positionGone(after: Position, head: Head): LockstepError {
  const marker = formatMarker(markerOf(head))
  return new LockstepError(
    'position-gone',
    `The changes after ${formatPosition(after)} are no longer held. GET the resources anew; the stream is at ${marker}.`,
    { extra: { marker } },
  )
}
