/** Says in words why a connection to an MQTT broker failed or ended, and what to do about it. */
import { LockstepError, quote } from '../contract/index.ts'
import type { MqttAddress } from './mqtt-address.ts'

/** How a network connection ended. */
export interface MqttEnd {
  /** What the network, TLS, the client library or the broker said last; `undefined` where it just closed. */
  readonly reason: unknown
  /** Had the broker accepted the connection? */
  readonly accepted: boolean
  /** The filters of the oldest SUBSCRIBE that was not answered. */
  readonly asked: readonly string[]
}

export interface MqttFailure extends MqttEnd {
  readonly protocolVersion: 4 | 5
  readonly clientId: string
}

/** Makes the error to report: `broker-refused` where the broker said no, else `broker-unreachable`. */
export function explainMqttFailure(address: MqttAddress, failure: MqttFailure): LockstepError {
  const { reason } = failure
  const refusal = failure.accepted ? undefined : explainRefusal(address, failure)
  if (refusal !== undefined) return new LockstepError('broker-refused', refusal, { cause: reason })
  const text = failure.accepted ? explainLoss(address, failure) : explainNoAnswer(address, failure)
  return new LockstepError('broker-unreachable', text, { cause: reason })
}

/** Return codes of MQTT 3.1.1 §3.2.2.3 and reason codes of MQTT 5 §3.2.2.2. */
function explainRefusal(address: MqttAddress, failure: MqttFailure): string | undefined {
  const code = codeOf(failure.reason)
  if (typeof code !== 'number') return undefined
  const at = `The broker at ${address.shown} refused the connection`
  switch (code) {
    case 1:
    case 132: {
      const [version, other] = failure.protocolVersion === 5 ? ['5', 4] : ['3.1.1', 5]
      return `${at}: it does not speak MQTT ${version}. Set protocolVersion to ${other}.`
    }
    case 2:
    case 133:
      return `${at}: it does not take the client id "${failure.clientId}". Choose another clientId.`
    case 4:
    case 134:
      return `${at}: user name or password is wrong. Correct username and password.`
    case 5:
    case 135:
      return `${at}: not authorized. Give username and password, or a right to connect.`
    case 3:
    case 136:
    case 137:
      return `${at}: it is not available now (code ${code}). It is tried again.`
    default:
      return `${at} with code ${code}. The broker's log may say why.`
  }
}

function explainNoAnswer(address: MqttAddress, { reason, protocolVersion }: MqttFailure): string {
  const at = address.shown
  const code = codeOf(reason)
  switch (code) {
    case 'ECONNREFUSED':
      return `No broker listens at ${at}. Start it or correct the URL; it is tried again.`
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `The host of ${at} is not known. Correct the URL or the name service; it is tried again.`
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'ETIMEDOUT':
      return `The host of ${at} cannot be reached (${code}). Check network and firewall; it is tried again.`
  }
  if (typeof code === 'string' && /CERT|SSL|TLS|SELF_SIGNED|ALTNAME|VERIFY/.test(code)) {
    return `TLS with the broker at ${at} failed (${code}). Check that it is a TLS port, and give the authority's certificate as ca.`
  }
  if (reason !== undefined)
    return `The broker at ${at} gives no answer that can be used: ${textOf(reason)}. Check that it is an MQTT port; it is tried again.`
  const hint = protocolVersion === 5 ? ' Some brokers do so when they do not speak MQTT 5.' : ''
  return `The broker at ${at} closed the connection before it answered. Check that it is an MQTT port.${hint}`
}

function explainLoss(address: MqttAddress, { reason, clientId, asked }: MqttFailure): string {
  const said = reason === undefined ? 'the broker closed it' : textOf(reason)
  if (asked.length > 0 && reason === undefined) {
    const others = asked.length > 1 ? ` and ${asked.length - 1} more` : ''
    return `The connection to the broker at ${address.shown} was lost: ${said} while it was asked for a subscription to ${quote(asked[0])}${others}. Some brokers do so where the user may not read a topic: give the right. It is tried again.`
  }
  return `The connection to the broker at ${address.shown} was lost: ${said}. It is being connected again; if this repeats, see whether another client uses the id "${clientId}", and read the broker's log.`
}

function codeOf(reason: unknown): unknown {
  return typeof reason === 'object' && reason !== null && 'code' in reason ? reason.code : undefined
}

function textOf(reason: unknown): string {
  const text = reason instanceof Error ? reason.message : String(reason)
  return text === '' ? 'no reason was given' : text.replace(/\.$/, '')
}
