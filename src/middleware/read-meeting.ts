/** A request that reads what is mirrored: its answer gets the marker, and the tag of the version that it shows. PROTOCOL.md §14.5. */
import { satisfiesIfNoneMatch } from '../contract/index.ts'
import type { Target } from '../sidecar/observing.ts'
import { type Amendment, type Meeting, type MetAnswer, type MetRequest, unamended } from './meeting.ts'
import type { MeetingContext, Place } from './meeting-context.ts'
import { hasOwnTag } from './tags.ts'

export class ReadMeeting implements Meeting {
  readonly isWrite = false
  readonly ready = undefined
  readonly headers: Readonly<Record<string, string>>
  readonly isHeld: boolean
  readonly #context: MeetingContext
  readonly #target: Target
  readonly #condition: string | undefined

  constructor(context: MeetingContext, request: MetRequest, place: Place) {
    const { target } = place
    this.#context = context
    this.#target = target
    this.headers = context.fieldsOf(place)
    this.isHeld = target.kind === 'resource' && request.method === 'GET'
    this.#condition = this.isHeld ? request.header('if-none-match') : undefined
  }

  end({ status, header, body }: MetAnswer): Amendment | Promise<Amendment> {
    if (status !== 200 || body === undefined || hasOwnTag(header('etag'))) return unamended
    const { path, mirrored } = this.#target
    const { tags, options } = this.#context
    const known = tags.recall(path, body)
    if (known !== undefined) return this.#amend(known)
    return tags.find(mirrored, path, body).then(
      tag => (tag === undefined ? unamended : this.#amend(tag)),
      error => {
        options.report(error, { stage: 'tag' })
        return unamended
      },
    )
  }

  #amend(etag: string): Amendment {
    return {
      headers: { etag },
      isUnchanged: this.#condition !== undefined && !satisfiesIfNoneMatch(this.#condition, etag),
    }
  }

  leave(): void {}
}
