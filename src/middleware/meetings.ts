/** Meets the requests to the application: finds out which of them are about what is mirrored, and whether they change it. */

import { lookHeader } from './application.ts'
import type { Meeting, MetRequest } from './meeting.ts'
import type { MeetingContext } from './meeting-context.ts'
import { ReadMeeting } from './read-meeting.ts'
import { WriteMeeting } from './write-meeting.ts'

const safeMethods = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE'])

/** `undefined` where the request is about nothing that is mirrored. */
export function meet(context: MeetingContext, request: MetRequest): Meeting | undefined {
  const { table, meetsReads } = context.options
  const { method, target } = request
  const mark = target.indexOf('?')
  const path = mark === -1 ? target : target.slice(0, mark)
  const rules = table.findRules(method, path)
  if (!meetsReads && rules.length === 0 && safeMethods.has(method)) return undefined
  const place = context.find(path)
  if (safeMethods.has(method) && rules.length === 0) {
    const isRead = place !== undefined && !place.target.isBelow && (method === 'GET' || method === 'HEAD')
    return isRead && request.header(lookHeader) === undefined
      ? new ReadMeeting(context, request, place)
      : undefined
  }
  if (rules.length === 0 && place === undefined) return undefined
  return new WriteMeeting(context, request, { method, rules }, safeMethods.has(method) ? undefined : place)
}
