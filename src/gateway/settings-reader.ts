/**
 * Reads the configuration of a gateway, a plain object from a file or a program, and checks it as a whole.
 *
 * The sections of keys, plans and documents are checked by their own parts.
 */
import { type Fault, type Json, LockstepError } from '../contract/index.ts'
import { findConflicts } from './route-plan.ts'
import { Section } from './section.ts'
import {
  checkPath,
  readService,
  readVersion,
  type ServiceSettings,
  type VersionSettings,
  versionMeaning,
  versionName,
} from './service-settings.ts'
import { type FaceSettings, type GatewaySettings, legacyName, otherSections } from './settings.ts'

const hostForm = /^[a-z0-9.:[\]-]+$/

/** Reads and checks everything but the sections of others. Where there are faults, the rest counts for nothing. */
export function readGatewaySettings(value: Json): {
  readonly settings: GatewaySettings
  readonly faults: readonly Fault[]
} {
  const faults: Fault[] = []
  const top = new Section(value, '', faults)
  const root = readRoot(top, 'root', '/api/{version}')
  const versions = new Map<string, VersionSettings>()
  for (const [name, each] of top.sections('versions', versionName, versionMeaning)) {
    versions.set(name, readVersion(each))
    each.end()
  }
  const faces = readFaces(top, root)
  const isVersioned = [...faces.values()].some(face => face.root.includes('{version}'))
  if (isVersioned && versions.size === 0)
    versions.set('v1', { deprecatedMs: undefined, sunsetMs: undefined, link: undefined })
  if (!isVersioned && versions.size > 0) top.fault('versions', 'needs a root with {version} in it')
  const services = new Map<string, ServiceSettings>()
  for (const [name, each] of top.sections(
    'services',
    /^[a-z][a-z0-9_-]*$/,
    'small letters, digits and hyphens',
  )) {
    if (name === legacyName) each.fault('', 'has the name of the legacy program. Choose another one')
    services.set(name, readService(each, name, false))
    checkReferences(each, services.get(name)!, { faces, versions })
  }
  const legacySection = top.value('legacy') === undefined ? undefined : top.section('legacy')
  const legacy = legacySection === undefined ? undefined : readService(legacySection, legacyName, true)
  if (legacy !== undefined) checkReferences(legacySection!, legacy, { faces, versions })
  for (const [name, { compare }] of services) {
    if (compare !== undefined && legacy === undefined) {
      faults.push({ pointer: `/services/${name}/compare`, detail: 'needs a "legacy" to compare with' })
    }
  }
  if (services.size === 0 && legacy === undefined)
    top.fault('', 'has no services, and no "legacy". Name one at least')
  const sections: Record<string, Json> = {}
  for (const name of otherSections) {
    const section = top.value(name)
    if (section !== undefined) sections[name] = section
  }
  const settings: GatewaySettings = {
    ...readDoors(top),
    trustedHops: top.count('trustedHops', { or: 0, min: 0, max: 16 }),
    faces,
    versions,
    services,
    legacy,
    limits: readLimits(top),
    sections,
  }
  top.end()
  if (faults.length === 0) faults.push(...findConflicts(settings))
  return { settings, faults }
}

/** As {@link readGatewaySettings}. Errors: `invalid-option` with all faults. */
export function checkGatewaySettings(value: Json): GatewaySettings {
  const { settings, faults } = readGatewaySettings(value)
  if (faults.length === 0) return settings
  const lines = faults.map(
    ({ pointer, detail }) => `${pointer === '' ? 'The configuration' : pointer} ${detail}.`,
  )
  throw new LockstepError('invalid-option', `The gateway cannot be configured so. ${lines.join(' ')}`, {
    faults,
  })
}

function readDoors(top: Section): Pick<GatewaySettings, 'listen' | 'admin'> {
  const listen = top.section('listen')
  const tls = listen.value('tls') === undefined ? undefined : listen.section('tls')
  const admin = top.value('admin') === undefined ? undefined : top.section('admin')
  const doors = {
    listen: {
      host: listen.text('host', '127.0.0.1'),
      port: listen.count('port', { or: 8_080, min: 0, max: 65_535 }),
      tls: tls === undefined ? undefined : { cert: readFile(tls, 'cert'), key: readFile(tls, 'key') },
      http2: listen.flag('http2', false),
    },
    admin:
      admin === undefined
        ? undefined
        : {
            host: admin.text('host', '127.0.0.1'),
            port: admin.count('port', { or: 9_901, min: 0, max: 65_535 }),
          },
  }
  if (doors.listen.http2 && tls === undefined)
    listen.fault('http2', 'needs "tls": browsers speak it over TLS only')
  for (const section of [listen, tls, admin]) section?.end()
  return doors
}

function readFile(section: Section, name: string): string {
  const file = section.text(name, undefined)
  if (file === undefined) section.fault('', `needs "${name}": a file in PEM`)
  return file ?? ''
}

function readFaces(top: Section, root: string): Map<string, FaceSettings> {
  const faces = new Map<string, FaceSettings>()
  const found = top.sections('faces', /^(internal|public)$/, '"internal" or "public"')
  for (const [name, each] of found) {
    faces.set(name, {
      root: readRoot(each, 'root', root),
      host: each.text('host', undefined, hostForm, 'a host name in small letters, without a port'),
      port: each.count('port', { or: undefined, min: 0, max: 65_535 }),
    })
    each.end()
  }
  if (faces.size === 0) faces.set('internal', { root, host: undefined, port: undefined })
  const doors = [...faces.values()].map(face => `${face.port} ${face.host} ${face.root}`)
  if (new Set(doors).size < doors.length) {
    top.fault('faces', 'are both in the same place. Give one a "host", "port" or "root" of its own')
  }
  return faces
}

function readRoot(section: Section, name: string, or: string): string {
  const root = section.text(name, or, /^\/.*$/, 'a path such as "/api/{version}"')
  if (!/^[^{}]*(\/\{version\})?[^{}]*$/.test(root))
    section.fault(name, 'may have {version} once, as a whole segment')
  const checked = checkPath(section, name, root.replace('{version}', 'version'))
  return root === or && checked === '' ? or : root.replace(/\/$/, '')
}

function readLimits(top: Section): GatewaySettings['limits'] {
  const section = top.section('limits')
  const limits = {
    maxInFlight: section.count('maxInFlight', { or: 10_000 }),
    maxConnections: section.count('maxConnections', { or: 20_000 }),
    requestTimeoutMs: section.count('requestTimeoutMs', { or: 120_000 }),
    drainMs: section.count('drainMs', { or: 30_000, min: 0 }),
  }
  section.end()
  return limits
}

function checkReferences(
  section: Section,
  service: ServiceSettings,
  { faces, versions }: Pick<GatewaySettings, 'faces' | 'versions'>,
): void {
  for (const face of service.faces ?? []) {
    if (!faces.has(face))
      section.fault('faces', `names ${face}, which is none of: ${[...faces.keys()].join(', ')}`)
  }
  for (const version of service.versions?.keys() ?? []) {
    if (versions.has(version)) continue
    section.fault('versions', `names ${version}, which is none of: ${[...versions.keys()].join(', ')}`)
  }
}
