/** The URL of an MQTT broker, taken apart. */
import { describeValue, LockstepError, quote } from '../contract/index.ts'

export interface MqttAddress {
  readonly protocol: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  readonly host: string
  readonly port: number
  /** Path and query, for WebSocket. */
  readonly path: string
  readonly username: string | undefined
  readonly password: string | undefined
  /** The URL without credentials and query, fit to be shown. */
  readonly shown: string
}

const defaultPorts = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 } as const

/**
 * Parses `mqtt://`, `mqtts://`, `ws://` and `wss://` URLs; user and password may stand in it, percent-encoded.
 * Errors: `invalid-option`, whose text never holds the password.
 */
export function parseMqttUrl(url: string): MqttAddress {
  if (typeof url !== 'string') {
    throw new LockstepError(
      'invalid-option',
      `The broker's URL is ${describeValue(url)}. Give one such as "mqtt://localhost:1883".`,
    )
  }
  if (!URL.canParse(url)) throw urlError(withoutCredentials(url), 'it is not a URL')
  const parsed = new URL(url)
  const protocol = parsed.protocol.slice(0, -1)
  if (!isProtocol(protocol))
    throw urlError(withoutCredentials(url), `the scheme ${quote(protocol)} is unknown`)
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1')
  if (host === '') throw urlError(withoutCredentials(url), 'it names no host')
  const port = parsed.port === '' ? defaultPorts[protocol] : Number(parsed.port)
  if (port === 0) throw urlError(withoutCredentials(url), 'nobody listens at port 0')
  const isWebSocket = protocol === 'ws' || protocol === 'wss'
  if (!isWebSocket && !['', '/'].includes(parsed.pathname)) {
    throw urlError(withoutCredentials(url), 'MQTT over TCP has no path')
  }
  return {
    protocol,
    host,
    port,
    path: isWebSocket ? `${parsed.pathname || '/'}${parsed.search}` : '',
    username: decodePart(parsed.username, 'user name'),
    password: decodePart(parsed.password, 'password'),
    shown: `${protocol}://${parsed.hostname}:${port}${isWebSocket ? parsed.pathname : ''}`,
  }
}

function isProtocol(text: string): text is keyof typeof defaultPorts {
  return Object.hasOwn(defaultPorts, text)
}

function decodePart(encoded: string, name: string): string | undefined {
  if (encoded === '') return undefined
  try {
    return decodeURIComponent(encoded)
  } catch {
    throw new LockstepError(
      'invalid-option',
      `The ${name} in the broker's URL is not percent-encoded UTF-8. Write a "%" in it as "%25", or give it as an option.`,
    )
  }
}

function withoutCredentials(url: string): string {
  return url.replace(/^([^/]*\/\/)?.*@/s, '$1')
}

function urlError(shown: string, why: string): LockstepError {
  return new LockstepError(
    'invalid-option',
    `The broker's URL ${quote(shown)} cannot be used: ${why}. Give one such as "mqtt://localhost:1883", "mqtts://…", "ws://…" or "wss://…".`,
  )
}
