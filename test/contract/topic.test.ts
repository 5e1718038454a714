import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  checkTopicPrefix,
  decodeSegment,
  encodeSegment,
  formatPath,
  headTopic,
  isLockstepError,
  isTopicFilter,
  matchesTopicFilter,
  maxSegmentBytes,
  parsePath,
  pathToTopic,
  topicToPath,
} from 'lockstep/contract'
import { readCases, resultOf, titleOf } from '../support/cases.ts'

/** Texts that can be ids: any Unicode that `encodeSegment` takes and that is not reserved. */
const ids = fc
  .oneof(
    fc.string({ unit: 'binary', minLength: 1 }),
    fc.string({ unit: fc.constantFrom(...'/+#$%.*>_ ~é\u0301\u2028\ufeff\u0000\ud800A0'), minLength: 1 }),
  )
  .filter(id => !id.startsWith('_') && !('error' in Object(resultOf(() => encodeSegment(id)))))

test('paths and topics are read and written as the cases say', () => {
  for (const entry of readCases('paths-and-topics')) {
    const { path, topic, prefix, canonical, segments, stream, kind, error } = entry as {
      path?: string
      topic: string
      prefix?: string
      canonical: string | null
      segments: string[]
      stream: string
      kind: string
      error?: string
    }
    if (path === undefined) {
      const expected = error === undefined ? (canonical ?? undefined) : { error }
      assert.deepEqual(
        resultOf(() => topicToPath(topic, prefix)),
        expected,
        titleOf(entry),
      )
    } else if (error !== undefined) {
      assert.deepEqual(
        resultOf(() => parsePath(path)),
        { error },
        titleOf(entry),
      )
    } else {
      assert.deepEqual(parsePath(path), { path: canonical, segments, stream, kind }, titleOf(entry))
      assert.deepEqual(formatPath(segments).path, canonical, titleOf(entry))
      assert.equal(parsePath(canonical!).path, canonical, titleOf(entry))
      assert.equal(pathToTopic(canonical!), topic, titleOf(entry))
      assert.equal(topicToPath(topic), canonical, titleOf(entry))
    }
  }
})

test('any id comes back from its path and its topic as it was, in NFC', () => {
  fc.assert(
    fc.property(
      fc.array(ids, { minLength: 1, maxLength: 16 }),
      fc.constantFrom('', 'acme/prod/'),
      (segments, prefix) => {
        const { path, segments: normal } = formatPath(segments)
        assert.deepEqual(
          normal,
          segments.map(segment => segment.normalize('NFC')),
        )
        assert.deepEqual(parsePath(path).segments, normal)
        assert.equal(topicToPath(pathToTopic(path, prefix), prefix), path)
      },
    ),
    { numRuns: 1000 },
  )
})

test('two ids have the same topic only where they are the same text in NFC', () => {
  fc.assert(
    fc.property(ids, ids, (a, b) => {
      assert.equal(encodeSegment(a) === encodeSegment(b), a.normalize('NFC') === b.normalize('NFC'))
      assert.equal(encodeSegment(a.normalize('NFD')), encodeSegment(a))
    }),
    { numRuns: 1000 },
  )
})

test('every spelling of a segment decodes to the same id, and a topic has one spelling only', () => {
  const hex = (byte: number, upper: boolean): string => {
    const text = byte.toString(16).padStart(2, '0')
    return `%${upper ? text.toUpperCase() : text}`
  }
  fc.assert(
    fc.property(ids, fc.boolean(), (id, upper) => {
      const spelling = [...new TextEncoder().encode(id)].map(byte => hex(byte, upper)).join('')
      assert.equal(decodeSegment(spelling), id.normalize('NFC'))
      const topic = `people/${spelling}`
      const canonical = `people/${encodeSegment(id)}`
      assert.deepEqual(
        resultOf(() => topicToPath(topic)),
        topic === canonical ? `/${canonical}` : { error: 'invalid-topic' },
      )
    }),
  )
})

test('an encoded segment is one plain topic level: never a wildcard, a separator or a system topic', () => {
  fc.assert(
    fc.property(ids, id => {
      const encoded = encodeSegment(id)
      assert.match(encoded, /^([A-Za-z0-9_-]|%[0-9A-F]{2})+$/)
      assert.ok(encoded.length <= maxSegmentBytes * 3)
      assert.ok(matchesTopicFilter('people/+', `people/${encoded}`))
      assert.ok(matchesTopicFilter(`people/${encoded}`, `people/${encoded}`))
      assert.equal(matchesTopicFilter(`people/${encoded}`, 'people/another one'), false)
    }),
  )
})

test('any text at all is either a path or refused with invalid-path', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), text => {
      const result = resultOf(() => parsePath(`/${text}`))
      if ('error' in result) assert.equal(result.error, 'invalid-path')
      else assert.deepEqual(parsePath(result.path), result)
    }),
    { numRuns: 1000 },
  )
})

test('lone surrogates are refused, which no file of cases can carry', () => {
  for (const id of ['\ud800', '\udc00', 'a\ud800b', '\udc00\ud800']) {
    assert.deepEqual(
      resultOf(() => parsePath(`/people/${id}`)),
      { error: 'invalid-path' },
    )
    assert.deepEqual(
      resultOf(() => encodeSegment(id)),
      { error: 'invalid-path' },
    )
    assert.equal(isTopicFilter(`people/${id}`), false)
  }
})

test('a single segment is checked like one of a path', () => {
  assert.equal(decodeSegment('a'.repeat(512)).length, 512)
  for (const segment of ['a'.repeat(513), '', '.', '%2E%2E', '%00', '%C0%AF', '%']) {
    assert.deepEqual(
      resultOf(() => decodeSegment(segment)),
      { error: 'invalid-path' },
    )
  }
})

test('what is refused is shown shortened and harmless', () => {
  for (const path of [
    `/people/${'a'.repeat(100_000)}`,
    `/people/\u001b[2J\u202e${'%'.repeat(9)}`,
    `/${'a/'.repeat(100_000)}`,
  ]) {
    assert.throws(
      () => parsePath(path),
      error =>
        isLockstepError(error, 'invalid-path') &&
        error.message.length < 400 &&
        /^[\x20-\x7e…]+$/.test(error.message),
    )
  }
})

test('a topic over 65,535 bytes is refused', () => {
  const { path } = formatPath(Array.from({ length: 16 }, () => 'é'.repeat(256)))
  assert.ok(pathToTopic(path).length < 65_535)
  assert.deepEqual(
    resultOf(() => pathToTopic(path, 'p/'.repeat(25_000))),
    { error: 'invalid-topic' },
  )
})

test('a topic prefix is empty or plain levels, each with its slash', () => {
  for (const prefix of ['', 'a/', 'acme/prod/', 'A-1_2/%20/']) assert.equal(checkTopicPrefix(prefix), prefix)
  for (const prefix of [
    'a',
    '/',
    '/a/',
    'a//',
    '+/',
    'a/#',
    '$SYS/',
    'a b/',
    'é/',
    `${'a'.repeat(50_000)}!`,
  ]) {
    assert.deepEqual(
      resultOf(() => checkTopicPrefix(prefix)),
      { error: 'invalid-option' },
    )
  }
  assert.equal(headTopic('people', 'acme/'), 'acme/lockstep/head/people')
})

test('topic filters are valid and match as MQTT 5 says', () => {
  for (const entry of readCases('topic-filters')) {
    const { filter, topic, valid, match } = entry as {
      filter: string
      topic?: string
      valid?: boolean
      match?: boolean
    }
    if (topic === undefined) {
      assert.equal(isTopicFilter(filter), valid, titleOf(entry))
    } else {
      assert.equal(isTopicFilter(filter), true, titleOf(entry))
      assert.equal(matchesTopicFilter(filter, topic), match, titleOf(entry))
    }
  }
  assert.equal(isTopicFilter('a'.repeat(65_535)), true)
  assert.equal(isTopicFilter('a'.repeat(65_536)), false)
  assert.equal(isTopicFilter('é'.repeat(32_768)), false)
})

test('matching agrees with a plain model on any short filter and topic', () => {
  const levels = (level: fc.Arbitrary<string>) => fc.array(level, { minLength: 1, maxLength: 4 })
  const model = (filter: string[], topic: string[]): boolean => {
    const [first, ...rest] = filter
    if (first === undefined) return topic.length === 0
    if (first === '#') return true
    if (topic.length === 0) return false
    return (first === '+' || first === topic[0]) && model(rest, topic.slice(1))
  }
  fc.assert(
    fc.property(
      levels(fc.constantFrom('a', 'b', '', '+')),
      fc.boolean(),
      levels(fc.constantFrom('a', 'b', '', '$a')),
      (plain, open, topic) => {
        const filter = open ? [...plain, '#'] : plain
        const hidden = topic[0]!.startsWith('$') && ['+', '#'].includes(filter[0]!)
        assert.equal(matchesTopicFilter(filter.join('/'), topic.join('/')), !hidden && model(filter, topic))
      },
    ),
    { numRuns: 2000 },
  )
})
