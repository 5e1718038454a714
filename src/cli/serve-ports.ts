/** The two ports of `lockstep serve`, API and broker; where one cannot be taken, with the option that chooses another. */
import { type Broker, connectMqtt, openEmbeddedBroker } from 'lockstep/broker'
import { isLockstepError, LockstepError } from 'lockstep/contract'
import { type HttpServer, openHttpServer } from 'lockstep/service'
import { showUrl } from './argument.ts'
import { reportInBackground } from './failure.ts'
import type { ServeSettings } from './serve-settings.ts'
import type { ServedSystem } from './served-system.ts'

export interface OpenedBroker {
  readonly broker: Broker
  /** Without user and password. */
  readonly url: string
}

/** Opens the embedded broker, or connects to the one that is named. Errors: `port-taken`, `invalid-option`. */
export async function openServeBroker({
  broker,
  host,
  mqttPort,
}: Pick<ServeSettings, 'broker' | 'host' | 'mqttPort'>): Promise<OpenedBroker> {
  if (broker !== undefined) {
    return { broker: await connectMqtt(broker, { onError: reportInBackground }), url: showUrl(broker) }
  }
  try {
    const embedded = await openEmbeddedBroker({ host, port: mqttPort, onError: reportInBackground })
    return { broker: embedded, url: embedded.url }
  } catch (error) {
    const orUse = `with --mqtt-port; where a broker runs there, use it with --broker mqtt://${host}:${mqttPort}.`
    throw withOption(error, orUse)
  }
}

/** Takes the port of the API; requests that come while all is being opened wait for it. Errors: `port-taken`, `invalid-option`. */
export async function openServeServer(
  { host, port }: ServeSettings,
  system: Promise<ServedSystem>,
): Promise<HttpServer> {
  try {
    return await openHttpServer(
      { owns: () => true, handle: async exchange => (await system).handle(exchange) },
      { host, port },
    )
  } catch (error) {
    throw withOption(error, 'with --port.')
  }
}

/** Where to go for an address that stands for all of them. */
export function reachable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')
}

/** Says with which option another port, or host, is chosen. */
export function withOption(error: unknown, option: string): unknown {
  if (!isLockstepError(error)) return error
  const { code, message, cause } = error
  if (code === 'port-taken')
    return new LockstepError(code, `${message.replace(/\.$/, '')} ${option}`, { cause: error })
  const reason = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (reason === 'EACCES') {
    const text = `${message} Ports below 1024 are often kept for the administrator: choose another one ${option}`
    return new LockstepError(code, text, { cause: error })
  }
  if (reason === 'EADDRNOTAVAIL' || reason === 'ENOTFOUND' || reason === 'EAI_AGAIN')
    return new LockstepError(code, `${message} --host chooses the address.`, { cause: error })
  return error
}
