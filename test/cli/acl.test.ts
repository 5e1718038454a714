/** What the rules do on each broker is shown in test/broker; here is what is printed, and what is refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'yaml'
import { runProgram, temporaryFolder } from './program.ts'

const file = JSON.stringify({
  topicPrefix: 'acme/',
  resources: { people: {}, 'people/{person}/friends': {}, projects: {} },
})

test('lockstep acl prints rules for each broker: the service may publish its topics, readers read what they are named for', async t => {
  const cwd = await temporaryFolder(t, { 'api.json': file })
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runProgram(t, ['acl', 'api.json', ...args], { cwd })
    assert.equal(code, 0, stderr)
    assert.match(stderr, /^Next: /)
    return stdout
  }
  const some = ['--service', 'api', '--reader', 'web', '--reader', 'guest=projects']
  assert.deepEqual(parse(await run('--broker', 'aedes', ...some)), {
    api: {
      publish: [
        'acme/people/#',
        'acme/lockstep/head/people',
        'acme/projects/#',
        'acme/lockstep/head/projects',
      ],
      read: ['acme/lockstep/head/people', 'acme/lockstep/head/projects'],
    },
    web: {
      publish: [],
      read: ['acme/people/#', 'acme/lockstep/head/people', 'acme/projects/#', 'acme/lockstep/head/projects'],
    },
    guest: { publish: [], read: ['acme/projects/#', 'acme/lockstep/head/projects'] },
  })
  assert.match(
    await run('--broker', 'mosquitto', '--topic-prefix', 'other', '--reader', 'guest=people'),
    /\nuser guest\ntopic read other\/people\/#\ntopic read other\/lockstep\/head\/people\n$/,
  )
})

test('lockstep acl refuses a reader of what is not there, a name that comes twice and one that is syntax', async t => {
  const cwd = await temporaryFolder(t, { 'api.json': file })
  const calls: readonly (readonly [args: readonly string[], code: number, said: RegExp])[] = [
    [
      ['--reader', 'guest=project'],
      1,
      /"project", which the file does not serve \(did you mean "projects"\?\)/,
    ],
    [['--reader', 'a-b', '--reader', 'A_B'], 1, /Two users go by the same name/],
    [['--reader', 'a b'], 2, /begins with a letter/],
    [['--service', 'x"}'], 2, /begins with a letter/],
    [['--reader', 'guest='], 2, /Write it as in reports=orders,people/],
  ]
  for (const [args, expected, said] of calls) {
    const { code, stdout, stderr } = await runProgram(t, ['acl', 'api.json', '--broker', 'nats', ...args], {
      cwd,
    })
    assert.deepEqual([code, stdout], [expected, ''], args.join(' '))
    assert.match(stderr, said)
  }
})

test('lockstep acl gives a public reader the topics of the public, and no others', async t => {
  const resources = {
    people: { schema: { properties: { name: {} } }, public: { fields: ['name'] } },
    projects: {},
  }
  const cwd = await temporaryFolder(t, { 'api.json': JSON.stringify({ resources }) })
  const run = (...args: string[]) => runProgram(t, ['acl', 'api.json', '--broker', 'aedes', ...args], { cwd })
  const { code, stdout, stderr } = await run('--public-reader', 'web')
  assert.equal(code, 0, stderr)
  const own = ['people/#', 'lockstep/head/people', 'projects/#', 'lockstep/head/projects']
  const ofPublic = ['public/people/#', 'public/lockstep/head/people']
  assert.deepEqual(parse(stdout), {
    service: { publish: [...own, ...ofPublic], read: ['lockstep/head/people', 'lockstep/head/projects'] },
    web: { publish: [], read: ofPublic },
  })
})
