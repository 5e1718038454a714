/** The parts beside routes and services, made from the sections of the configuration that are theirs. */
import { audienceHeader, type Fault, LockstepError, type ReportError } from '../contract/index.ts'
import { openAccess, openAudienceSigner } from './access/access.ts'
import { type AccessSettings, accessSections, readAccessSettings } from './access/access-settings.ts'
import { describeDoor } from './access/door-description.ts'
import { createGatherer, type Gatherer } from './documents/gatherer.ts'
import { createLiveDocuments, type LiveDocuments } from './documents/live-documents.ts'
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
  const faults = findPartFaults(settings)
  if (faults.length > 0) {
    const list = faults.map(({ pointer, detail }) => `${pointer || '/'} ${detail}`).join('; ')
    throw new LockstepError('invalid-option', `The gateway cannot be opened so: ${list}.`, { faults })
  }
  const { sections, faces } = settings
  const hasAccess = accessSections.some(name => sections[name] !== undefined)
  const access = hasAccess ? readAccessSettings(sections).settings : undefined
  const hasPages = sections['docs'] !== undefined && sections['docs'] !== false
  const documents =
    hasPages || faces.has('public') ? await openDocuments(settings, access, options) : undefined
  try {
    const admitter = access && (await openAccess(access, options))
    documents?.gatherer.start()
    return { admitter, ...(documents === undefined ? {} : makeParts(documents, hasPages)) }
  } catch (error) {
    await documents?.gatherer.close()
    throw error
  }
}

interface OpenDocuments {
  readonly gatherer: Gatherer
  readonly pages: LiveDocuments
}

/** The public one cannot be without them: they say what it has. */
function makeParts({ gatherer, pages }: OpenDocuments, hasPages: boolean): GatewayParts {
  const close = async (): Promise<void> => {
    await gatherer.close()
    await pages.close()
  }
  return {
    visibility: createVisibility(gatherer),
    ownPages: { answer: hasPages ? request => pages.answer(request) : () => undefined, close },
  }
}

async function openDocuments(
  settings: GatewaySettings,
  access: AccessSettings | undefined,
  options: PartsOptions,
): Promise<OpenDocuments> {
  const documents = readDocuments(settings, [])
  const { path, title, description, everyMs } = documents
  const { onError } = options
  const signAudience = access && (await openAudienceSigner(access, options))
  const gatherer = createGatherer({
    sources: listSources(settings, documents),
    everyMs,
    ...(signAudience && {
      headersFor: service => ({
        [audienceHeader]: signAudience({
          service,
          face: 'internal',
          scopes: ['*:read'],
          requestId: 'documents',
        }),
      }),
    }),
    ...(onError && { onError }),
  })
  const versions = [...settings.versions.keys()]
  const faces = [...settings.faces].map(([name, face]) => {
    const about = {
      root: rootOf(face, versions.at(-1)),
      roots: Object.fromEntries(versions.map(version => [version, rootOf(face, version)])),
      access: describeDoor(access, name === 'internal' ? 'internal' : 'public'),
      ...(title === undefined ? {} : { title }),
      ...(description === undefined ? {} : { description }),
    }
    return [name, about] as const
  })
  return { gatherer, pages: createLiveDocuments({ gatherer, path, faces: Object.fromEntries(faces) }) }
}

/** One for each version that a service is in. */
function listSources({ services, versions }: GatewaySettings, documents: DocumentSettings): DocumentSource[] {
  const all = versions.size > 1 ? [...versions] : [[undefined, undefined] as const]
  const only = [...versions.keys()][0] ?? ''
  return [...services].flatMap(([name, service]) => {
    const isApi = service.paths.length > 0 || service.mount !== undefined
    if (!isApi || service.compare !== undefined) return []
    const own = documents.services.get(name)
    return all.flatMap(([version, ending]): DocumentSource[] => {
      const place = service.versions?.get(version ?? only)
      const { instances, root } = place ?? service
      const instance = instances[0]
      const isThere = service.versions === undefined || place !== undefined
      if (instance === undefined || !isThere) return []
      const isDeprecated = (place?.deprecatedMs ?? ending?.deprecatedMs) !== undefined
      return [
        {
          service: name,
          ...(version === undefined ? {} : { version, isDeprecated }),
          upstream: new URL(instance).origin + root,
          mount: service.mount ?? '',
          ...(service.mount === undefined ? { paths: service.paths } : {}),
          ...(own?.openApi === undefined ? {} : { openApi: own.openApi }),
          ...(own?.asyncApi === undefined ? {} : { asyncApi: own.asyncApi }),
        },
      ]
    })
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
