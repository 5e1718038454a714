/** Takes the form of a person's page: with a script or without, only what was changed is written. */
import type { IncomingMessage } from 'node:http'

export interface Saved {
  readonly status: number
  /** A problem document where it was refused; else empty. */
  readonly body: string
}

const members = ['name', 'email'] as const
const maxFormBytes = 10_000

/** Writes what differs from what the page showed, so that two windows that change different fields keep both changes. */
export async function savePerson(url: string, request: IncomingMessage): Promise<Saved> {
  const form = new URLSearchParams(await readForm(request))
  const changed = members.filter(member => form.has(member) && form.get(member) !== form.get(`was-${member}`))
  if (changed.length === 0) return { status: 204, body: '' }
  const response = await fetch(url, {
    method: 'PATCH',
    headers: { 'content-type': 'application/merge-patch+json' },
    body: JSON.stringify(Object.fromEntries(changed.map(member => [member, form.get(member)]))),
  })
  return response.ok ? { status: 204, body: '' } : { status: response.status, body: await response.text() }
}

/** A form of another site would be sent with this one's rights. */
export function isFromHere({ headers }: IncomingMessage): boolean {
  const site = headers['sec-fetch-site']
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  const { origin } = headers
  return origin === undefined || (URL.canParse(origin) && new URL(origin).host === headers.host)
}

async function readForm(request: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > maxFormBytes) throw new Error('The form is too large.')
  }
  return text
}
