/** Why an API gave no answer, or none that can be used, in words; and what to do about it. */
import { isLockstepError, LockstepError } from 'lockstep/contract'

interface Trouble {
  readonly reason: string
  readonly next: string
}

const startIt = 'Start the service there, or correct the address.'
const correctHost = 'Correct the address.'
const trustIt = 'Give Node its authority with NODE_EXTRA_CA_CERTS=<file>, or correct the address.'
const untrusted: Trouble = { reason: 'its certificate is not trusted', next: trustIt }

/** By the code, or else the text, of what `fetch` gives as the cause. */
const troubles: Readonly<Record<string, Trouble>> = {
  ECONNREFUSED: { reason: 'nothing listens there', next: startIt },
  ENOTFOUND: { reason: 'there is no host of this name', next: correctHost },
  EAI_AGAIN: { reason: 'the host of this name cannot be found now', next: 'Check the name and the network.' },
  EHOSTUNREACH: { reason: 'no way leads to this host', next: 'Check the address and the network.' },
  ENETUNREACH: { reason: 'no way leads to this host', next: 'Check the address and the network.' },
  UND_ERR_CONNECT_TIMEOUT: { reason: 'nothing answers there', next: 'Check the address and the network.' },
  ECONNRESET: {
    reason: 'the connection was cut without an answer',
    next: 'Check that it speaks http: the address may have to begin with https://.',
  },
  UND_ERR_SOCKET: {
    reason: 'the connection was cut without an answer',
    next: 'Check that it speaks http: the address may have to begin with https://.',
  },
  ERR_SSL_WRONG_VERSION_NUMBER: {
    reason: 'it speaks http, not https',
    next: 'Let the address begin with http://.',
  },
  ERR_SSL_PACKET_LENGTH_TOO_LONG: {
    reason: 'it does not speak https',
    next: 'Let the address begin with http://, or correct the port.',
  },
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  CERT_HAS_EXPIRED: { reason: 'its certificate has expired', next: 'Renew the certificate.' },
  ERR_TLS_CERT_ALTNAME_INVALID: { reason: 'its certificate is of another host', next: correctHost },
  'bad port': {
    reason: 'browsers and fetch never ask this port, which belongs to another protocol',
    next: 'Correct the address, or let the service listen at another port.',
  },
}

/** Why `fetch` failed; its own words where there are none of ours. */
export function reasonOfFetch(error: unknown): string {
  const trouble = troubleOf(error)
  if (trouble !== undefined) return trouble.reason
  const cause = causeOf(error)
  if (cause instanceof Error && cause.message !== '') return cause.message.replace(/\.$/, '')
  return error instanceof Error ? error.message : String(error)
}

/** What to do about an error of `askApi` and its like; `undefined` where the message says it. */
export function adviseOn(error: unknown): string | undefined {
  if (!isLockstepError(error)) return undefined
  if (error.code === 'timeout') return 'Look whether the service hangs, or correct the address.'
  const { status } = error.extra
  if (typeof status === 'number') return adviseOnStatus(status)
  return error.code === 'api-unreachable' ? (troubleOf(error.cause)?.next ?? startIt) : undefined
}

export function adviseOnStatus(status: number): string {
  if (status === 401 || status === 403) return 'Give credentials with --header "Authorization: …".'
  return status >= 500
    ? "Read the service's log."
    : 'Correct the address: a collection or resource, such as /people.'
}

/** The error, with what to do next in its message. */
export function withAdvice(error: unknown): unknown {
  const advice = adviseOn(error)
  if (advice === undefined || !isLockstepError(error)) return error
  return new LockstepError(error.code, `${error.message} ${advice}`, { cause: error })
}

function troubleOf(error: unknown): Trouble | undefined {
  const cause = causeOf(error)
  if (!(cause instanceof Error)) return undefined
  const { code, message } = cause as NodeJS.ErrnoException
  return troubles[code ?? message]
}

/** `fetch` says "fetch failed" and keeps the reason in `cause`, which may hold one per address that was tried. */
function causeOf(error: unknown): unknown {
  const cause = error instanceof Error ? error.cause : undefined
  return cause instanceof AggregateError ? cause.errors[0] : cause
}
