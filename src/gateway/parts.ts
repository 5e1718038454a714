/** The parts beside routes and services, made from the sections of the configuration that are theirs. */
import type { Fault, ReportError } from '../contract/index.ts'
import { openAccess } from './access/access.ts'
import { accessSections, readAccessSettings } from './access/access-settings.ts'
import { createGatherer } from './documents/gatherer.ts'
import { createLiveDocuments } from './documents/live-documents.ts'
import type { DocumentSource } from './documents/source.ts'
import { createVisibility } from './documents/visible-operations.ts'
import type { GatewayParts } from './gateway.ts'
import { rootOf } from './route-plan.ts'
import { Section } from './section.ts'
import { checkPath } from './service-settings.ts'
import type { GatewaySettings } from './settings.ts'

export interface PartsOptions {
  /** Where relative names of files begin. @default the working directory */
  readonly folder?: string
  /** @default writes to stderr */
  readonly onError?: ReportError
}

interface DocumentSettings {
  readonly path: string
  readonly title: string | undefined
  readonly description: string | undefined
  readonly everyMs: number
  /** Where the documents of services are that are not made by Lockstep. */
  readonly services: ReadonlyMap<
    string,
    { readonly openApi: string | undefined; readonly asyncApi: string | undefined }
  >
}

/** What is wrong in the sections of the parts. */
export function findPartFaults(settings: GatewaySettings): readonly Fault[] {
  const faults: Fault[] = []
  readDocuments(settings, faults)
  return [...readAccessSettings(settings.sections).faults, ...faults]
}

/** Opens what the configuration asks for. Errors: `invalid-option`, those of stores. */
export async function openGatewayParts(
  settings: GatewaySettings,
  options: PartsOptions = {},
): Promise<GatewayParts> {
  const { sections, faces } = settings
  const isGuarded = accessSections.some(name => sections[name] !== undefined)
  const access = readAccessSettings(sections).settings
  const admitter = isGuarded ? await openAccess(access, options) : undefined
  const documents = readDocuments(settings, [])
  if (sections['docs'] === undefined && !faces.has('public')) return { admitter }
  const { onError } = options
  const { everyMs } = documents
  const gatherer = createGatherer({
    sources: listSources(settings, documents),
    everyMs,
    ...(onError && { onError }),
  })
  gatherer.start()
  const version = [...settings.versions.keys()].at(-1)
  const { path, title, description } = documents
  const pages = createLiveDocuments({
    gatherer,
    path,
    faces: Object.fromEntries(
      [...faces].map(([name, face]) => [
        name,
        {
          root: rootOf(face, version),
          ...(title === undefined ? {} : { title }),
          ...(description === undefined ? {} : { description }),
        },
      ]),
    ),
  })
  return {
    admitter,
    visibility: createVisibility(gatherer),
    ownPages:
      sections['docs'] === undefined
        ? { answer: () => undefined, close: () => gatherer.close() }
        : {
            answer: request => pages.answer(request),
            close: async () => {
              await gatherer.close()
              await pages.close()
            },
          },
  }
}

/** Of services in several versions the documents are those of the last one. */
function listSources({ services, versions }: GatewaySettings, documents: DocumentSettings): DocumentSource[] {
  const last = [...versions.keys()].at(-1) ?? ''
  return [...services].flatMap(([name, service]) => {
    const { instances, root } = service.versions?.get(last) ?? service
    const instance = instances[0]
    const isApi = service.paths.length > 0 || service.mount !== undefined
    if (instance === undefined || !isApi || service.compare !== undefined) return []
    const own = documents.services.get(name)
    return [
      {
        service: name,
        upstream: new URL(instance).origin + root,
        mount: service.mount ?? '',
        ...(service.mount === undefined ? { paths: service.paths } : {}),
        ...(own?.openApi === undefined ? {} : { openApi: own.openApi }),
        ...(own?.asyncApi === undefined ? {} : { asyncApi: own.asyncApi }),
      },
    ]
  })
}

function readDocuments({ sections, services }: GatewaySettings, faults: Fault[]): DocumentSettings {
  const given = sections['docs']
  const section = new Section(given === true || given === false ? undefined : given, '/docs', faults)
  const found = new Map<string, { openApi: string | undefined; asyncApi: string | undefined }>()
  for (const [name, each] of section.sections('services', /./, 'the name of a service')) {
    if (!services.has(name)) each.fault('', 'is no service of this gateway')
    found.set(name, { openApi: each.text('openApi', undefined), asyncApi: each.text('asyncApi', undefined) })
    each.end()
  }
  const settings = {
    path:
      checkPath(section, 'path', section.text('path', '/docs', /^\/.+$/, 'a path such as "/docs"')) ||
      '/docs',
    title: section.text('title', undefined),
    description: section.text('description', undefined),
    everyMs: section.count('everyMs', { or: 30_000, min: 100 }),
    services: found,
  }
  section.end()
  return settings
}
