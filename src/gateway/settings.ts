/** The configuration of a gateway, once it was checked. docs/gateway.md describes what it is read from. */
import type { JsonObject } from '../contract/index.ts'
import type { ServiceSettings, VersionSettings } from './service-settings.ts'

export interface FaceSettings {
  /** Before the paths of the API; `{version}` stands for the version. Without a slash at its end. */
  readonly root: string
  /** `undefined`: every host. In lower case, without a port. */
  readonly host: string | undefined
  /** `undefined`: the port of the gateway. */
  readonly port: number | undefined
}

export interface TlsSettings {
  /** Files in PEM, from the folder of the configuration. */
  readonly cert: string
  readonly key: string
}

export interface GatewaySettings {
  readonly listen: {
    readonly host: string
    readonly port: number
    readonly tls: TlsSettings | undefined
    readonly http2: boolean
  }
  readonly admin: { readonly host: string; readonly port: number } | undefined
  readonly trustedHops: number
  readonly faces: ReadonlyMap<string, FaceSettings>
  /** Empty where the root has no `{version}`. */
  readonly versions: ReadonlyMap<string, VersionSettings>
  readonly services: ReadonlyMap<string, ServiceSettings>
  readonly legacy: ServiceSettings | undefined
  readonly limits: {
    /** Requests at one time. */
    readonly maxInFlight: number
    readonly maxConnections: number
    /** For a request to arrive as a whole. */
    readonly requestTimeoutMs: number
    /** For what runs, when an instance or the gateway goes. */
    readonly drainMs: number
  }
  /** What other parts read: `keys`, `jwt`, `plans`, `cors`, `docs` and more, as they stand there. */
  readonly sections: JsonObject
}

/** The names of the sections that other parts check. */
export const otherSections: readonly string[] = [
  'keys',
  'jwt',
  'plans',
  'accounts',
  'counting',
  'cors',
  'audience',
  'docs',
]

/** The service that the legacy program is for routes, keys and visibility. */
export const legacyName = 'legacy'
