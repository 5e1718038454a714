/**
 * Paths and topics: the one-to-one mapping between a URL path below the API root and an MQTT topic.
 *
 * A path alternates collection and id (`/people/johndoe/friends/2`); its topic is the same text without the
 * leading slash. Outside `[A-Za-z0-9_-]` every byte of a segment's UTF-8 (NFC) is percent-encoded, so that no
 * segment can be a wildcard, be split, or be renamed by a broker. PROTOCOL.md §2.
 */
import { isLockstepError, LockstepError, quote } from './error.ts'
import { streamOf } from './path.ts'

/** The longest id or collection name, in bytes of UTF-8. */
export const maxSegmentBytes = 512
/** The deepest path, in segments. Aedes stops at 100 topic levels; nobody needs so many. */
export const maxSegments = 16
/** What a topic may measure in all, in bytes (MQTT 5 §1.5.4). */
export const maxTopicBytes = 65_535

const encoder = new TextEncoder()
const plain = /^[A-Za-z0-9_-]+$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const control = /[\u0000-\u001f\u007f-\u009f]/

/** Where a path leads: to a collection (odd number of segments) or to a resource in one (even). */
export interface ParsedPath {
  /** The canonical path, such as `/people/john%40home`. */
  readonly path: string
  /** The decoded segments, NFC. */
  readonly segments: readonly string[]
  /** The stream that the path belongs to: its first segment, encoded. */
  readonly stream: string
  readonly kind: 'collection' | 'resource'
}

/**
 * Encodes one segment (an id or a collection's name) for paths and topics alike.
 * Errors: `invalid-path` for the empty string, `.`, `..`, control characters, lone surrogates, over 512 bytes.
 */
export function encodeSegment(segment: string): string {
  // Nearly all ids are plain ASCII: they need neither normalisation nor encoding.
  if (segment.length <= maxSegmentBytes && plain.test(segment)) return segment
  if (segment === '') {
    throw new LockstepError(
      'invalid-path',
      'A path segment is empty. Remove the doubled or trailing slash, or give an id.',
    )
  }
  if (!segment.isWellFormed()) {
    throw new LockstepError(
      'invalid-path',
      `The segment ${quote(segment)} holds a lone surrogate, which UTF-8 cannot carry.`,
    )
  }
  const normal = segment.normalize('NFC')
  if (normal === '.' || normal === '..') {
    throw new LockstepError(
      'invalid-path',
      `The segment ${quote(normal)} would be resolved away by HTTP clients. Choose another id.`,
    )
  }
  if (control.test(normal)) {
    throw new LockstepError('invalid-path', `The segment ${quote(normal)} holds a control character.`)
  }
  const bytes = encoder.encode(normal)
  if (bytes.length > maxSegmentBytes) {
    throw new LockstepError(
      'invalid-path',
      `The segment ${quote(normal, 24)} has ${bytes.length} bytes; ${maxSegmentBytes} are allowed.`,
    )
  }
  let encoded = ''
  for (const byte of bytes) {
    encoded += isPlainByte(byte)
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

/** Encodes one segment; `undefined` where {@link encodeSegment} refuses it, so that nothing can have this id. */
export function tryEncodeSegment(segment: string): string | undefined {
  try {
    return encodeSegment(segment)
  } catch (error) {
    if (isLockstepError(error)) return undefined
    throw error
  }
}

/**
 * Decodes one percent-encoded segment of a URL or topic, in any legal spelling, to its NFC text.
 * Errors: `invalid-path`, as {@link encodeSegment}, and for a `%` that does not introduce UTF-8.
 */
export function decodeSegment(encoded: string): string {
  if (plain.test(encoded) && encoded.length <= maxSegmentBytes) return encoded
  let decoded: string
  try {
    decoded = decodeURIComponent(encoded)
  } catch {
    throw new LockstepError('invalid-path', `The segment ${quote(encoded)} is not percent-encoded UTF-8.`)
  }
  encodeSegment(decoded)
  return decoded.normalize('NFC')
}

/** Is the segment kept for the contract itself, as `_changes` is? */
export function isReservedSegment(segment: string): boolean {
  return segment.startsWith('_')
}

/** Is the topic kept for the contract itself, as `people/johndoe/_patch` is? No message of a mirror is on one. */
export function isReservedTopic(topic: string): boolean {
  return isReservedSegment(topic.slice(topic.lastIndexOf('/') + 1))
}

/**
 * Parses a URL path below the API root (`/people/john@home`, any legal percent-encoding) to its canonical form.
 * Errors: `invalid-path` for what cannot be a path, with the segment; reserved segments are refused too.
 */
export function parsePath(path: string): ParsedPath {
  if (!path.startsWith('/')) {
    throw new LockstepError('invalid-path', `The path ${quote(path)} does not begin with a slash.`)
  }
  return formatPath(path.slice(1).split('/').map(decodeSegment))
}

/** Makes the canonical path of decoded segments. Errors: as {@link parsePath}. */
export function formatPath(segments: readonly string[]): ParsedPath {
  if (segments.length === 0 || segments.length > maxSegments) {
    throw new LockstepError(
      'invalid-path',
      `The path has ${segments.length} segments; between 1 and ${maxSegments} are allowed.`,
    )
  }
  let path = ''
  for (const segment of segments) {
    if (isReservedSegment(segment)) {
      throw new LockstepError(
        'invalid-path',
        `The segment ${quote(segment)} begins with "_", which is reserved. Choose another id.`,
      )
    }
    path += `/${encodeSegment(segment)}`
  }
  return {
    path,
    segments: segments.map(segment => segment.normalize('NFC')),
    stream: streamOf(path),
    kind: segments.length % 2 === 1 ? 'collection' : 'resource',
  }
}

/**
 * The topic of a canonical path. `prefix` (such as `acme/prod/`) goes in front and MUST end with a slash or be empty.
 * Errors: `invalid-topic` where the whole is over 65,535 bytes.
 */
export function pathToTopic(path: string, prefix = ''): string {
  const topic = prefix + path.slice(1)
  if (topic.length > maxTopicBytes) {
    throw new LockstepError(
      'invalid-topic',
      `The topic of ${quote(path)} has ${topic.length} bytes; ${maxTopicBytes} are allowed.`,
    )
  }
  return topic
}

/**
 * The canonical path of a topic; `undefined` where the topic does not begin with the prefix.
 * Errors: `invalid-path`; `invalid-topic` for a topic that is spelt otherwise than {@link pathToTopic} spells it,
 * so that no two topics mean one path.
 */
export function topicToPath(topic: string, prefix = ''): string | undefined {
  if (!topic.startsWith(prefix)) return undefined
  const { path } = parsePath(`/${topic.slice(prefix.length)}`)
  if (pathToTopic(path, prefix) !== topic) {
    throw new LockstepError(
      'invalid-topic',
      `The topic ${quote(topic)} is not spelt as Lockstep spells it: ${quote(pathToTopic(path, prefix))}.`,
    )
  }
  return path
}

/** The topic on which a stream's heads travel. */
export function headTopic(stream: string, prefix = ''): string {
  return `${prefix}lockstep/head/${stream}`
}

/** Is the prefix empty, or plain topic levels each followed by a slash? Errors: `invalid-option` if not. */
export function checkTopicPrefix(prefix: string): string {
  if (prefix !== '' && !/^([A-Za-z0-9_%-]+\/)+$/.test(prefix)) {
    throw new LockstepError(
      'invalid-option',
      `The topic prefix ${quote(prefix)} cannot be used. Give levels of [A-Za-z0-9_-], each followed by a slash, such as "acme/prod/".`,
    )
  }
  return prefix
}

/** Is it a topic filter by MQTT 5 §4.7.1: `#` alone in the last level, `+` alone in its level, no NUL, not empty? */
export function isTopicFilter(filter: string): boolean {
  if (
    filter === '' ||
    filter.includes('\u0000') ||
    !filter.isWellFormed() ||
    encoder.encode(filter).length > maxTopicBytes
  )
    return false
  const levels = filter.split('/')
  return levels.every((level, index) => {
    if (level === '#') return index === levels.length - 1
    return level === '+' || !/[+#]/.test(level)
  })
}

/** Does the topic match the filter (MQTT 5 §4.7)? Topics that begin with `$` never match a leading wildcard. */
export function matchesTopicFilter(filter: string, topic: string): boolean {
  if (topic.startsWith('$') && (filter.startsWith('#') || filter.startsWith('+'))) return false
  const wanted = filter.split('/')
  const levels = topic.split('/')
  for (let index = 0; index < wanted.length; index++) {
    const level = wanted[index]
    if (level === '#') return true
    if (index >= levels.length) return false
    if (level !== '+' && level !== levels[index]) return false
  }
  return wanted.length === levels.length
}

function isPlainByte(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2d ||
    byte === 0x5f
  )
}
