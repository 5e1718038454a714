/** What options and arguments of the command line must look like. A wrong one is a usage error, said by commander. */
import { InvalidArgumentError } from 'commander'
import {
  checkTopicPrefix,
  isTopicFilter,
  LockstepError,
  type Marker,
  parseMarker,
  quote,
} from 'lockstep/contract'
import { describeBlockedPort, isBlockedPort } from './blocked-port.ts'

export const defaultBrokerUrl = 'mqtt://127.0.0.1:1883'

export function parsePort(text: string): number {
  const port = Number(text)
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw new InvalidArgumentError('Give a number from 0 to 65535; 0 takes any free port.')
  }
  return port
}

/** As {@link parsePort}, without those that no browser asks. */
export function parseApiPort(text: string): number {
  const port = parsePort(text)
  if (isBlockedPort(port)) throw new InvalidArgumentError(describeBlockedPort(port))
  return port
}

export function parseRoot(text: string): string {
  return asUsage(() => readRoot(text))
}

/** What stands before the paths of an API: nothing, or a path, which is taken without its trailing slash. Errors: `invalid-option`. */
export function readRoot(text: string): string {
  const root = text.replace(/\/+$/, '')
  if (/^(\/[A-Za-z0-9._~-]+)*$/.test(root)) return root
  throw new LockstepError(
    'invalid-option',
    `${quote(text)} cannot stand before paths. Give a path such as /api/v1.`,
  )
}

export function parseTopicPrefix(text: string): string {
  return asUsage(() => readTopicPrefix(text))
}

/** What stands before the topics: nothing, or levels, whose trailing slash may be left out. Errors: `invalid-option`. */
export function readTopicPrefix(text: string): string {
  return checkTopicPrefix(text === '' || text.endsWith('/') ? text : `${text}/`)
}

function asUsage<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message)
  }
}

export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Give a whole number from 1.')
  return Number(text)
}

export function parseSeconds(text: string): number {
  const seconds = Number(text)
  if (!/^\d{1,5}(\.\d+)?$/.test(text) || seconds === 0)
    throw new InvalidArgumentError('Give seconds, such as 6.')
  return seconds
}

export function parseHttpUrl(text: string): URL {
  // "localhost:3000/people" is a URL with the scheme "localhost:"; what is meant is clear.
  const url = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`
  if (!URL.canParse(url) || !/^https?:/i.test(url)) {
    throw new InvalidArgumentError('Give an address such as http://127.0.0.1:3000/people.')
  }
  return new URL(url)
}

/** What is followed is whole: a query would only seem to narrow it. */
export function parseFollowUrl(text: string): URL {
  const url = parseHttpUrl(text)
  const names = [...url.searchParams.keys()].filter(name => !name.startsWith('_'))
  if (names.length === 0) return url
  throw new InvalidArgumentError(
    `A collection is followed as a whole, so ${quote(names.join(', '))} would change nothing. Leave the query out.`,
  )
}

export function parseBrokerUrl(text: string): string {
  if (!URL.canParse(text) || !/^(mqtts?|wss?):\/\//i.test(text)) {
    throw new InvalidArgumentError(
      `Give an address such as ${defaultBrokerUrl}, mqtts://…, ws://… or wss://….`,
    )
  }
  return text
}

export function parseFilter(text: string): string {
  if (!isTopicFilter(text)) {
    throw new InvalidArgumentError(
      `"+" stands for one whole level, "#" for all that follow, as in 'people/#'.`,
    )
  }
  return text
}

export function parseHeader(
  text: string,
  before: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const [, name, value] = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+):\s*(.*)$/.exec(text) ?? []
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError('Write it as in "Authorization: Bearer …".')
  }
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
    throw new InvalidArgumentError(
      `A header can hold characters up to U+00FF only; ${quote(value, 40)} has others. Percent-encode them, if the service takes that.`,
    )
  }
  return { ...before, [name.toLowerCase()]: value }
}

/** Where to begin in the feed: a marker, or an end of what it holds. */
export type Beginning = 'earliest' | 'now' | Marker

export function parseBeginning(text: string): Beginning {
  if (text === 'earliest' || text === 'now') return text
  try {
    return parseMarker(text)
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message} Or give earliest or now.`)
  }
}

/** A URL as what stands before paths: without query, fragment and trailing slash. */
export function trimUrl(url: URL): string {
  return url.href.replace(/[?#].*$/, '').replace(/\/+$/, '')
}

/** A broker's URL without user and password, fit to be shown. */
export function showUrl(text: string): string {
  const url = new URL(text)
  url.username = ''
  url.password = ''
  return url.href.replace(/\/$/, '')
}
