/** What is read from a served file: rows with ids, and every fault with its line and JSON Pointer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isBlockedPort } from '../../src/cli/blocked-port.ts'
import { parseServedFile } from '../../src/cli/served-file.ts'

const read = (name: string, text: string): ReturnType<typeof parseServedFile> =>
  parseServedFile(`/x/${name}`, text)

/** `line:column pointer detail` of each fault. */
function faultsOf(name: string, text: string): string[] {
  try {
    read(name, text)
  } catch (error) {
    const [first, ...lines] = (error as Error).message.split('\n')
    assert.equal(first, `${name} cannot be served:`)
    return lines.map(line => line.trim().replace(`${name}:`, '').replaceAll('  ', ' '))
  }
  return []
}

test('rows without an id get the lowest free numbers, the same each time', () => {
  const text = '{"a": [{"n": 1}, {"id": 1}, {"id": "3"}, {"n": 2}, {"n": 3}]}'
  const ids = read('a.json', text).collections[0]!.firstRows.map(({ id }) => id)
  assert.deepEqual(ids, ['2', '1', '3', '4', '5'])
  assert.deepEqual(read('a.json', text).collections[0]!.rowCounts, { numericIds: 1, madeIds: 3 })
})

test('JSON and YAML give the same, and an object as "resources" tells the forms apart', () => {
  const json = read('a.json', '{"resources": {"people": {"rows": [{"id": "a", "n": 1.5}]}}, "port": 0}')
  const yaml = read('a.yml', 'resources:\n  people:\n    rows: [{id: a, n: 1.5}]\nport: 0\n')
  assert.equal(json.form, 'lockstep')
  assert.deepEqual(json.settings, { port: 0 })
  for (const key of ['settings', 'form'] as const) assert.deepEqual(yaml[key], json[key])
  assert.deepEqual(yaml.collections[0]!.firstRows, json.collections[0]!.firstRows)
  assert.equal(read('a.json', '{"resources": [{"id": 1}]}').form, 'json-server')
})

test('a text that is not JSON is said with its line and column', () => {
  const cases: readonly (readonly [text: string, fault: string])[] = [
    ['{\n  "a": [],\n}', '3:1 is not JSON: Expected double-quoted property name'],
    ['{"a": [1,]}', "1:10 is not JSON: Unexpected token ']'"],
    ['{"a":\n  nope}', "2:4 is not JSON: Unexpected token 'o'"],
    ['{"a": "x\n"}', '1:9 is not JSON: Bad control character in string literal'],
    ['{"a": []', '1:9 ends before the JSON is complete'],
    ['{"a": [{"n": 12345678901234567890}]}', '1:14 The number "12345678901234567890" cannot be held exactly'],
    ['', 'a.json is empty'],
    ['[]', '1:1 must be an object'],
    ['{}', '1:1 has no collection to serve.'],
  ]
  for (const [text, fault] of cases) {
    const [first = ''] = faultsOf('a.json', text)
    assert.ok(first.startsWith(fault), `${JSON.stringify(text)}: ${first}`)
  }
})

test('in YAML, << merges objects: what an object says itself wins, then the first of a list; in quotes it is a name', () => {
  const text = [
    'people:',
    '  - &ann {id: ann, role: user, address: {city: Oslo}}',
    '  - &ben {id: ben, role: admin, age: 3}',
    '  - <<: *ann',
    '    id: cy',
    '  - {<<: [*ann, *ben], id: dan}',
    '  - {"<<": plain, id: eve}',
  ].join('\n')
  const [people] = read('a.yaml', text).collections
  assert.deepEqual(
    people!.firstRows.slice(2).map(({ state }) => state),
    [
      { role: 'user', address: { city: 'Oslo' }, id: 'cy' },
      { role: 'user', address: { city: 'Oslo' }, age: 3, id: 'dan' },
      { '<<': 'plain', id: 'eve' },
    ],
  )
  const detail = 'merges what is no object. Give "<<" an alias of an object, such as *name, or a list of them'
  assert.deepEqual(faultsOf('a.yaml', 'people:\n  - id: a\n    <<: 5'), [`3:5 /people/0 ${detail}`])
  assert.match(
    faultsOf('a.yaml', 'people: [&a {<<: *a, id: b}]')[0]!,
    /^1:18 \/people\/0 is the alias of what it/,
  )
})

test('a key that is there twice is a fault in JSON as in YAML, since one of both would be lost', () => {
  const detail = 'is here a second time; only one of both could be served. Put them together, or rename one'
  assert.deepEqual(faultsOf('a.json', '{\n  "posts": [{"id": 1}],\n  "posts": [{"id": 2}]\n}'), [
    `3:3 /posts ${detail}`,
  ])
  assert.deepEqual(
    faultsOf('a.json', '{"resources": {"a": {"rows": [{"n": 1, "n": 2}]},\n "a": {}}, "resources": {}}'),
    [`1:40 /resources/a/rows/0/n ${detail}`, `2:2 /resources/a ${detail}`, `2:12 /resources ${detail}`],
  )
  assert.match(faultsOf('a.yaml', 'posts: []\nposts: []')[0]!, /^2:1 /)
})

test('a text that is not YAML, or says what JSON cannot, is said with its line and column', () => {
  const cases: readonly (readonly [text: string, fault: string])[] = [
    ['a:\n\t- id: 1', '2:1 Tabs are not allowed as indentation'],
    ['a: []\na: []', '2:1 is here a second time'],
    ['a:\n  - n: .inf', '2:8 /a/0/n is .inf, which cannot be held exactly'],
    ['a:\n  - n: 12345678901234567890', '2:8 /a/0/n is 12345678901234567890, which'],
    ['a: [*b]', '1:5 /a/0 names the anchor b, which is not there'],
    ['a: !!odd 1', '1:4 Unresolved tag'],
    ['? [1]\n: 2', '1:3 has a key that is neither a text nor a number'],
    ['a: []\n---\nb: []', '2:1 begins a second document'],
    ['a: &x [*x]', '1:8 /a/0 is the alias of what it stands in, *x'],
    [
      `a: &a [1,1,1,1,1,1,1,1,1]\n${[...'bcde'].map((name, index) => `${name}: &${name} [${`*${'abcd'[index]},`.repeat(9)}]`).join('\n')}`,
      'a.yaml repeats too much by its aliases',
    ],
    ['', 'a.yaml must be an object'],
    ['a: { b: /c/{d} }', '1:12 cannot stand here. A text with { } [ ]'],
  ]
  assert.equal(faultsOf('a.yaml', 'a: { b: /c/{d} }\ne: 1\nf: [1]').length, 1)
  for (const [text, fault] of cases) {
    const [first = ''] = faultsOf('a.yaml', text)
    assert.ok(first.startsWith(fault), `${JSON.stringify(text)}: ${first}`)
  }
})

test('every fault of a json-server file is said, in its order', () => {
  const text = `{
  "posts": [{ "id": 1 }, { "id": "1" }, 5, { "id": true }, { "id": "_x" }],
  "my posts": [],
  "count": 3
}`
  assert.deepEqual(faultsOf('a.json', text), [
    '2:28 /posts/1/id repeats the id "1"',
    '2:41 /posts/2 must be an object',
    '2:46 /posts/3/id must be a text or a number',
    '2:62 /posts/4/id must not begin with "_", which is reserved',
    '3:3 /my posts cannot name a collection: use A-Z, a-z, 0-9, "-" and "_" (not first)',
    '4:3 /count is "3"; a collection is an array of objects',
  ])
})

test('every fault of the own form is said: settings, templates, schemas, rows', () => {
  const text = `prt: 1
port: 99999
host: ""
root: api/
topicPrefix: a+c
resources:
  people:
    schema:
      requierd: [name]
      type: objekt
      properties:
        name: { type: text, pattern: "[" , minLength: -1 }
        home: { $ref: "#/$defs/home" }
        work: { $ref: "http://example.com/work" }
    rows: []
  things:
    row: []
    schema: { type: object, required: [name], properties: { name: { type: string } } }
    rows: [{ id: a }]
  a b: {}
  odd: []
`
  assert.deepEqual(
    faultsOf('a.yaml', text).map(line => line.split(' ').slice(0, 5).join(' ')),
    [
      '1:1 /prt is not known',
      '2:1 /port must be a',
      '3:1 /host must be a',
      '4:1 /root "api/" cannot stand',
      '5:1 /topicPrefix The topic prefix',
      '9:7 /resources/people/schema/requierd is no keyword',
      '10:7 /resources/people/schema/type is "objekt", which',
      '12:17 /resources/people/schema/properties/name/type is "text", which',
      '12:29 /resources/people/schema/properties/name/pattern is no regular',
      '12:44 /resources/people/schema/properties/name/minLength must be a',
      '13:17 /resources/people/schema/properties/home/$ref is "#/$defs/home", which',
      '14:17 /resources/people/schema/properties/work/$ref must point into',
      '17:5 /resources/things/row is not known',
      '19:12 /resources/things/rows/0/name is required',
      '20:3 /resources/a b The resource',
      '21:3 /resources/odd must be an',
    ],
  )
})

test('root and topicPrefix are taken as the options of these names are', () => {
  const { settings } = read('a.yaml', 'root: /api/\ntopicPrefix: acme\nresources: { a: {} }')
  assert.deepEqual(settings, { root: '/api', topicPrefix: 'acme/' })
})

test('a row that is larger than a body may be is a fault, since no PATCH could ever change it', () => {
  const [fault = ''] = faultsOf('a.json', JSON.stringify({ a: [{ id: 'x', text: 'x'.repeat(1_048_576) }] }))
  assert.match(fault, /^1:7 \/a\/0 has 1048596 bytes as JSON; 1048576 are allowed/)
})

test('a port that no browser asks is a fault', async () => {
  assert.match(
    faultsOf('a.yaml', 'port: 6000\nresources: { a: {} }')[0]!,
    /\/port Browsers and fetch never ask/,
  )
  for (let port = 1; port < 11_000; port++) {
    if (!isBlockedPort(port)) continue
    const error = await fetch(`http://127.0.0.1:${port}`).catch((error: Error) => error)
    assert.match(String((error as Error).cause), /bad port/, String(port))
  }
})

test('nested resources need their parent, and their rows a row above them', () => {
  const orphan = 'resources:\n  people/{p}/friends: {}\n'
  assert.match(faultsOf('a.yaml', orphan)[0]!, /^2:3 \/resources\/people~1\{p\}~1friends is nested below/)
  const lost = 'resources:\n  people: {}\n  people/{p}/friends:\n    rows:\n      ann: [{ id: x }]\n'
  assert.match(
    faultsOf('a.yaml', lost)[0]!,
    /^5:7 \S+\/rows\/ann stands below "ann", which is not among the rows of people/,
  )
  const deep = `resources:
  people: { rows: [{ id: ann }] }
  people/{p}/friends: { rows: { ann: [{ id: 7 }] } }
  people/{p}/friends/{f}/likes: { rows: { ann: { 7: [{}] } } }
`
  const rows = read('a.yaml', deep).collections.flatMap(({ firstRows }) => firstRows)
  assert.deepEqual(
    rows.map(({ parentIds, id }) => [...parentIds, id]),
    [['ann'], ['ann', '7'], ['ann', '7', '1']],
  )
})

test('many faults are counted, not all shown', () => {
  const rows = Array.from({ length: 30 }, () => 5)
  const faults = faultsOf('a.json', JSON.stringify({ a: rows }))
  assert.equal(faults.length, 21)
  assert.equal(faults.at(-1), '… and 10 more')
})

test('languages and references are taken, and faults in them are said', () => {
  const [people] = read(
    'a.yaml',
    'resources:\n  people:\n    languages: [en, fr]\n    references: { boss: people, home: "http://127.0.0.1:1/homes" }\n    schema: { properties: { boss: { type: string }, home: { type: string }, motto: { type: string, translatable: true } } }\n    rows: [{ id: ann, motto: { en: Go on } }]\n',
  ).collections
  assert.deepEqual(people!.resource.texts, { languages: ['en', 'fr'], places: [['motto']] })
  assert.deepEqual([...people!.resource.references.keys()], ['boss', 'home'])
  const cases: readonly (readonly [declaration: string, fault: string])[] = [
    ['{"languages": ["en"]}', '/resources/a The resource "a" cannot be used. It has languages but no text'],
    ['{"languages": "en"}', '/resources/a The resource "a" cannot be used. Its languages are'],
    ['{"references": "a"}', '/resources/a The references of "a" cannot be used: they are the text "a"'],
    ['{"references": {"x": "as"}}', "/resources/a/references/x is none of the file's resources"],
    ['{"langauges": ["en"]}', '/resources/a/langauges is not known here (did you mean "languages"?)'],
  ]
  for (const [declaration, fault] of cases) {
    const [first = ''] = faultsOf('a.json', `{"resources": {"a": ${declaration}}}`)
    assert.ok(first.replace(/^\d+:\d+ /, '').startsWith(fault), first)
  }
})
