/** Joined documents are valid, keep every operation, and nothing of one service meets anything of another. */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { JsonObject } from '../../../src/contract/index.ts'
import { readAccessSettings } from '../../../src/gateway/access/access-settings.ts'
import { describeDoor } from '../../../src/gateway/access/door-description.ts'
import { joinAsyncApi } from '../../../src/gateway/documents/join-asyncapi.ts'
import { joinOpenApi } from '../../../src/gateway/documents/join-openapi.ts'
import { listOperations } from '../../../src/gateway/documents/operation-list.ts'
import { upgradeOpenApi } from '../../../src/gateway/documents/upgrade.ts'
import { createVisibility } from '../../../src/gateway/documents/visible-operations.ts'
import { describeAsyncApi } from '../../../src/service/describe/async-api.ts'
import { describeOpenApi } from '../../../src/service/describe/open-api.ts'
import { friends, people, projects } from '../../support/service.ts'
import { asyncApiErrors, lintErrors } from './valid.ts'

const zoo: JsonObject = {
  openapi: '3.1.0',
  info: { title: 'Zoo', version: '1' },
  servers: [{ url: 'https://{host}/zoo/v3', variables: { host: { default: 'zoo.example' } } }],
  security: [{ key: [] }],
  tags: [{ name: 'animals', description: 'All of them' }, { name: 'unused' }],
  paths: {
    '/animals': {
      get: {
        operationId: 'list',
        tags: ['animals'],
        responses: {
          200: {
            description: 'ok',
            content: { 'application/json': { schema: { $ref: '#/components/schemas/Animal' } } },
            links: { one: { operationId: 'read', parameters: { id: '$response.body#/id' } } },
          },
        },
      },
      post: {
        operationId: 'list',
        security: [],
        requestBody: {
          content: {
            'application/json': {
              schema: { $ref: '#/paths/~1animals/get/responses/200/content/application~1json/schema' },
            },
          },
        },
        responses: { default: { description: 'any' } },
        callbacks: {
          done: {
            '{$request.body#/url}': {
              post: { security: [{ key: [] }], responses: { 200: { description: 'ok' } } },
            },
          },
        },
      },
    },
    '/animals/{id}': {
      servers: [{ url: 'https://other.example' }],
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      get: { operationId: 'read', responses: { 200: { description: 'ok' } } },
    },
  },
  webhooks: { born: { post: { responses: { 200: { description: 'ok' } } } } },
  components: {
    schemas: {
      Animal: {
        type: 'object',
        discriminator: { propertyName: 'kind' },
        oneOf: [{ $ref: '#/components/schemas/Cat' }, { $ref: '#/components/schemas/Dog' }],
        properties: {
          kind: { type: 'string' },
          // Names and data that look like keywords and references.
          example: { $ref: '#/components/schemas/Dog' },
          properties: { type: 'object', properties: { $ref: { type: 'string' } } },
          link: { const: { $ref: '#/components/schemas/Dog' } },
        },
        examples: [{ $ref: 'data' }],
      },
      Cat: { type: 'object', properties: { parent: { $ref: '#/components/schemas/Animal' } } },
      Dog: { type: 'object' },
    },
    securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-Key' } },
  },
}

test('services with the same names are joined without meeting', async () => {
  const { document, notes } = joinOpenApi([
    { service: 'zoo', openApi: zoo },
    { service: 'farm', openApi: zoo, root: '/zoo' },
  ])
  assert.deepEqual(await lintErrors(document), [])
  const operations = listOperations(document)
  assert.equal(operations.length, 2 * listOperations(zoo).length)
  assert.deepEqual(
    operations.map(({ path }) => path).filter((path, index, all) => all.indexOf(path) === index),
    [
      '/api/v1/zoo/zoo/v3/animals',
      '/api/v1/zoo/zoo/v3/animals/{id}',
      '/api/v1/farm/v3/animals',
      '/api/v1/farm/v3/animals/{id}',
    ],
  )
  const ids = operations.map(({ operation }) => operation['operationId'])
  assert.equal(new Set(ids).size, ids.length)
  assert.deepEqual(ids.slice(0, 3), ['zoo.list', 'zoo.list_2', 'zoo.read'])
  assert.ok(notes.some(note => note.includes('is there twice')))
  assert.ok(notes.some(note => note.includes('servers')))
})

test('references, discriminators, links and security follow their components, data stays', () => {
  const { document } = joinOpenApi([{ service: 'zoo', openApi: zoo }])
  const { schemas, securitySchemes } = document['components'] as {
    schemas: JsonObject
    securitySchemes: JsonObject
  }
  assert.deepEqual(Object.keys(schemas), ['zoo.Animal', 'zoo.Cat', 'zoo.Dog'])
  assert.deepEqual(Object.keys(securitySchemes), ['zoo.key'])
  const animal = schemas['zoo.Animal'] as JsonObject
  assert.deepEqual(animal['discriminator'], {
    propertyName: 'kind',
    mapping: { Cat: '#/components/schemas/zoo.Cat', Dog: '#/components/schemas/zoo.Dog' },
  })
  const properties = animal['properties'] as JsonObject
  assert.deepEqual(properties['example'], { $ref: '#/components/schemas/zoo.Dog' })
  assert.deepEqual(properties['link'], { const: { $ref: '#/components/schemas/Dog' } })
  assert.deepEqual(animal['examples'], [{ $ref: 'data' }])
  const text = JSON.stringify(document['paths'])
  assert.ok(
    text.includes(
      '"#/paths/~1api~1v1~1zoo~1zoo~1v3~1animals/get/responses/200/content/application~1json/schema"',
    ),
  )
  assert.ok(text.includes('"operationId":"zoo.read","parameters"'))
  const [list, create, read] = listOperations(document).map(({ operation }) => operation)
  assert.deepEqual(
    [list!['security'], create!['security'], read!['security']],
    [[{ 'zoo.key': [] }], [], [{ 'zoo.key': [] }]],
  )
  assert.deepEqual(document['tags'], [
    { name: 'zoo/animals', description: 'All of them', 'x-displayName': 'animals' },
    { name: 'zoo', 'x-displayName': 'zoo' },
  ])
  assert.deepEqual(Object.keys(document['webhooks'] as JsonObject), ['zoo.born'])
})

test('the documents of Lockstep services are joined with the messages that their operations cause', async () => {
  const options = {
    resources: [people, friends, projects],
    root: '/v2',
    about: { broker: 'mqtt://broker.example', live: '/live' },
  }
  const parts = ['users', 'others'].map(service => ({
    service,
    root: '/v2',
    openApi: describeOpenApi(options),
    asyncApi: describeAsyncApi(options),
  }))
  const openApi = joinOpenApi(parts).document
  const asyncApi = joinAsyncApi(parts).document
  assert.deepEqual(await lintErrors(openApi), [])
  assert.deepEqual(await lintErrors(asyncApi), [])
  assert.deepEqual(await asyncApiErrors(asyncApi), [])
  const patch = ((openApi['paths'] as JsonObject)['/api/v1/users/people/{person}'] as JsonObject)[
    'patch'
  ] as JsonObject
  assert.deepEqual(patch['x-lockstep-messages'], [
    { message: '#/components/messages/users.PeopleModified', channel: '#/channels/users.people.item' },
  ])
  const channels = asyncApi['channels'] as Record<string, JsonObject>
  assert.equal(channels['users.people.item']!['address'], 'people/{person}')
  assert.equal(channels['users.people.changes']!['address'], '/api/v1/users/people/_changes')
  assert.equal(channels['users.live']!['address'], '/live')
  const modified = (asyncApi['operations'] as Record<string, JsonObject>)['users.people.item.modified']!
  assert.deepEqual(modified['x-lockstep-operations'], [
    'users.people.replace',
    'users.people.patch',
    'users.people.bulk',
  ])
  const ids = new Set(listOperations(openApi).map(({ operation }) => operation['operationId']))
  for (const operation of Object.values(asyncApi['operations'] as JsonObject))
    for (const id of ((operation as JsonObject)['x-lockstep-operations'] ?? []) as string[])
      assert.ok(ids.has(id), id)
})

test('for the public only what is marked is left, with the components that it needs', async () => {
  const marked = structuredClone(zoo) as { paths: { '/animals/{id}': { get: JsonObject } } } & JsonObject
  marked.paths['/animals/{id}'].get['x-lockstep-audience'] = 'public'
  const schemes = { key: { type: 'http', scheme: 'bearer' } }
  const access = { security: { schemes, requirements: [{ key: [] }] } }
  const { document } = joinOpenApi([{ service: 'zoo', openApi: marked }], { audience: 'public', access })
  assert.deepEqual(await lintErrors(document), [])
  assert.deepEqual(Object.keys(document['paths'] as JsonObject), ['/api/v1/zoo/zoo/v3/animals/{id}'])
  assert.deepEqual(document['components'], { securitySchemes: schemes })
  assert.deepEqual(document['security'], [{ key: [] }])
  assert.equal(document['webhooks'], undefined)
})

test('of a service without a mount only what is routed is there, so that two may have the same paths besides', () => {
  const one = { service: 'a', mount: '', openApi: zoo, root: '/zoo/v3', paths: ['/animals/{id}'] }
  const { document } = joinOpenApi([one])
  assert.deepEqual(Object.keys(document['paths'] as JsonObject), ['/api/v1/animals/{id}'])
})

test('the messages of what is not routed are left out too, and the door says what it answers itself', async () => {
  const options = { resources: [people, friends, projects], root: '/v2' }
  const { settings } = readAccessSettings({
    keys: { file: 'keys.json' },
    jwt: {
      corp: {
        issuer: 'https://id.example',
        audience: 'x',
        algorithm: 'ES256',
        jwks: 'https://id.example/k',
        plan: 'free',
      },
    },
    plans: { free: { perSecond: 5 }, pro: { unlimited: true } },
  })
  const part = {
    service: 'users',
    mount: '',
    root: '/v2',
    paths: ['/projects'],
    openApi: describeOpenApi(options),
    asyncApi: describeAsyncApi(options),
  }
  const asyncApi = joinAsyncApi([part]).document
  assert.deepEqual(await asyncApiErrors(asyncApi), [])
  assert.deepEqual(Object.keys(asyncApi['channels'] as JsonObject), [
    'users.projects',
    'users.projects.item',
    'users.projects.head',
    'users.projects.changes',
  ])
  const openApi = joinOpenApi([part], { access: describeDoor(settings, 'public') }).document
  assert.deepEqual(await lintErrors(openApi), [])
  assert.deepEqual(openApi['security'], [{ apiKey: [] }, { apiKeyHeader: [] }, { 'jwt.corp': [] }])
  for (const { operation } of listOperations(openApi)) {
    const responses = operation['responses'] as Record<string, JsonObject>
    for (const status of ['400', '401', '403', '404', '429', '502', '503', '504'])
      assert.ok(responses[status], `${operation['operationId']} ${status}`)
    assert.equal('413' in responses, 'requestBody' in operation)
  }
  const components = openApi['components'] as Record<string, Record<string, JsonObject>>
  assert.ok((components['responses']!['Gateway.429']!['headers'] as JsonObject)['RateLimit'])
  const open = joinOpenApi([part], { access: describeDoor(undefined, 'internal') }).document
  assert.deepEqual(open['security'], [])
  assert.doesNotMatch(JSON.stringify(open), /Gateway\.(401|403|404|429|RateLimit)/)
})

test('two versions of a service stand side by side, and the one that ends says so', async () => {
  const options = { resources: [projects] }
  const part = {
    service: 'a',
    mount: '',
    openApi: describeOpenApi(options),
    asyncApi: describeAsyncApi(options),
  }
  const parts = [
    { ...part, version: 'v1', isDeprecated: true },
    { ...part, version: 'v2' },
  ]
  const roots = { v1: '/api/v1', v2: '/api/v2' }
  const openApi = joinOpenApi(parts, { roots }).document
  assert.deepEqual(await lintErrors(openApi), [])
  assert.deepEqual(await asyncApiErrors(joinAsyncApi(parts, { roots }).document), [])
  const deprecated = listOperations(openApi).map(({ path, operation }) => [
    path.split('/', 3).join('/'),
    operation['deprecated'] === true,
  ])
  assert.deepEqual(new Set(deprecated.map(String)), new Set(['/api/v1,true', '/api/v2,false']))
  const visibility = createVisibility({ revision: 1, parts: () => [markPublic(parts[0]!), parts[1]!] })
  const asked = (version: string | undefined) =>
    visibility.isVisible('public', 'a', 'GET', '/projects', version)
  assert.deepEqual([asked('v1'), asked('v2'), asked('v3'), asked(undefined)], [true, false, false, false])
})

function markPublic<P extends { openApi: JsonObject }>(part: P): P {
  return { ...part, openApi: JSON.parse(JSON.stringify(part.openApi).replaceAll('"internal"', '"public"')) }
}

test('documents of every age are brought to 3.1', async () => {
  const swagger2: JsonObject = {
    swagger: '2.0',
    info: { title: 'Old', version: '1' },
    host: 'old.example',
    basePath: '/v1',
    schemes: ['https'],
    consumes: ['application/json'],
    paths: {
      '/pets/{id}': {
        post: {
          parameters: [
            { name: 'id', in: 'path', type: 'integer', exclusiveMinimum: true, minimum: 0 },
            { name: 'body', in: 'body', schema: { $ref: '#/definitions/Pet' } },
          ],
          responses: {
            200: { description: 'ok', schema: { type: 'array', items: { $ref: '#/definitions/Pet' } } },
          },
        },
      },
    },
    definitions: {
      Pet: {
        type: 'object',
        properties: { name: { type: 'string', 'x-nullable': true }, self: { $ref: '#/definitions/Pet' } },
      },
    },
    securityDefinitions: { basic: { type: 'basic' } },
  }
  const three: JsonObject = {
    openapi: '3.0.3',
    info: { title: 'Three', version: '1' },
    paths: {
      '/x': {
        get: {
          responses: {
            200: {
              description: 'ok',
              content: { 'application/json': { schema: { type: 'string', nullable: true, enum: ['a'] } } },
            },
          },
        },
      },
    },
  }
  const listing: JsonObject = { swaggerVersion: '1.2', apiVersion: '1', apis: [{ path: '/pet' }] }
  const declaration: JsonObject = {
    swaggerVersion: '1.2',
    apiVersion: '1',
    basePath: 'http://old.example/api',
    resourcePath: '/pet',
    apis: [
      {
        path: '/pet/{id}',
        operations: [
          {
            method: 'GET',
            nickname: 'getPet',
            type: 'Pet',
            parameters: [{ name: 'id', paramType: 'path', type: 'string', required: true }],
          },
        ],
      },
    ],
    models: { Pet: { id: 'Pet', properties: { id: { type: 'integer', format: 'int64' } } } },
  }
  const news: JsonObject = {
    openapi: '3.2.0',
    info: { title: 'New', version: '1' },
    tags: [{ name: 'a', parent: 'b', kind: 'nav' }],
    paths: {
      '/x': {
        get: { responses: { 200: { description: 'ok' } } },
        query: { responses: { 200: { description: 'ok' } } },
      },
    },
  }
  for (const [document, declarations] of [
    [swagger2],
    [three],
    [listing, { '/pet': declaration }],
    [news],
  ] as const) {
    const upgraded = await upgradeOpenApi('old', document, declarations)
    assert.match(String(upgraded['openapi']), /^3\.1/)
    assert.deepEqual(await lintErrors(upgraded), [])
    assert.ok(listOperations(upgraded).length > 0)
    assert.deepEqual(await lintErrors(joinOpenApi([{ service: 'old', openApi: upgraded }]).document), [])
  }
  await assert.rejects(
    upgradeOpenApi('none', { openapi: '4.0.0' }),
    /none is no OpenAPI document.*its version is "4\.0\.0"/,
  )
  await assert.rejects(upgradeOpenApi('none', { posts: [] }), /it has neither "openapi" nor "swagger"/)
  await assert.rejects(upgradeOpenApi('half', listing), /lists "\/pet"/)
})

test('what leads to nothing, or out of the document, says so and breaks nothing', async () => {
  const broken: JsonObject = {
    openapi: '3.1.0',
    info: { title: 'Broken', version: 1 },
    paths: {
      '/x': {
        borked: 1,
        get: {
          schemes: ['https'],
          parameters: [{ name: 'a', in: 'query', schema: { $ref: 'file:///etc/passwd' } }],
          responses: {
            200: {
              description: null,
              content: { 'application/json': { schema: { $ref: '#/components/schemas/Gone' } } },
            },
            500: { $ref: 'http://169.254.169.254/latest/meta-data' },
          },
        },
      },
    },
    components: {
      schemas: {
        A: {
          discriminator: { propertyName: 'k', mapping: { x: '#/components/schemas/Gone', y: 'Nowhere' } },
        },
      },
      securitySchemes: { jwt: { type: 'http', scheme: 'bearer', name: 'x' } },
    },
  }
  const { document } = joinOpenApi([{ service: 'b', openApi: await upgradeOpenApi('b', broken) }])
  const errors = (await lintErrors(document)).filter(error => !error.includes('description'))
  assert.deepEqual(errors, [])
  assert.doesNotMatch(JSON.stringify(document), /"\$ref":"(file|http)/)
})
