/**
 * Writes what the parts tell on their channels to a logger: what fails, what comes and goes, and requests on demand.
 *
 * It is one for the process, whatever services, followers and logs are in it.
 */
import {
  type BridgeMessage,
  bridgeChannel,
  type Channel,
  checkMethods,
  checkOptions,
  type ErrorCode,
  type ErrorMessage,
  errorChannel,
  type FollowerMessage,
  followerChannel,
  isLockstepError,
  type RelayMessage,
  type RequestMessage,
  relayChannel,
  requestChannel,
} from '../contract/index.ts'

/** What a logger must have: pino, bunyan and `console` fit as they are. Errors are in the field `err`. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface LoggingOptions {
  /** Write a line for each request too: `debug`, or `warn` where the answer is 5xx. @default false */
  readonly requests?: boolean
}

/**
 * Begins to log; gives what ends it. While it runs, errors that have no `onError` are not written to standard error
 * besides. Errors: `invalid-option`.
 *
 *     startLogging(pino())
 */
export function startLogging(logger: Logger, options: LoggingOptions = {}): () => void {
  const advice = 'Give one such as console, or pino().'
  checkMethods('The logger of startLogging', logger, ['debug', 'info', 'warn', 'error'], advice)
  checkOptions('startLogging', options, { requests: true })
  const ends = [
    hear(errorChannel, message => logError(logger, message)),
    hear(relayChannel, message => logRelay(logger, message)),
    hear(followerChannel, message => logFollower(logger, message)),
    hear(bridgeChannel, message => logBridge(logger, message)),
  ]
  if (options.requests === true) ends.push(hear(requestChannel, message => logRequest(logger, message)))
  return () => {
    for (const end of ends) end()
  }
}

/** A logger that throws must not end the process. */
function hear<Message>(channel: Channel<Message>, log: (message: Message) => void): () => void {
  const subscriber = (message: Message): void => {
    try {
      log(message)
    } catch {
      // There is nobody left to tell.
    }
  }
  channel.subscribe(subscriber)
  return () => channel.unsubscribe(subscriber)
}

/** What is tried again until it goes, and is no fault of this process. */
const passing: ReadonlySet<ErrorCode> = new Set(['broker-unreachable', 'api-unreachable', 'timeout'])

function logError(logger: Logger, { error, stage }: ErrorMessage): void {
  const code = isLockstepError(error) ? error.code : undefined
  const text = error instanceof Error ? error.message : String(error)
  const level = code !== undefined && passing.has(code) ? 'warn' : 'error'
  logger[level]({ err: error, stage, code }, `${stage}: ${text}`)
}

function logRelay(logger: Logger, message: RelayMessage): void {
  const { stream } = message
  if (message.event === 'connection') {
    if (message.connected) logger.info({ stream }, `The relay of ${stream} is connected to the broker.`)
    else logger.warn({ stream }, `The relay of ${stream} lost the broker; changes wait in the log.`)
  } else if (message.event === 'reset') {
    logger.warn(
      { stream, seq: message.seq },
      `The relay of ${stream} published a reset: followers begin anew.`,
    )
  }
}

function logFollower(logger: Logger, message: FollowerMessage): void {
  if (message.event !== 'status') return
  const { follower, path, status } = message
  const staleForMs = Number.isFinite(message.staleForMs) ? Math.round(message.staleForMs) : undefined
  const level = status === 'stale' ? 'warn' : 'info'
  logger[level]({ follower, path, status, staleForMs }, `The follower of ${path} is ${status}.`)
}

function logBridge(logger: Logger, message: BridgeMessage): void {
  if (message.event !== 'stream') return
  const { bridge, stream, isLive } = message
  if (isLive) logger.info({ bridge, stream }, `The bridge has all of ${stream}: its pages are live.`)
  else logger.warn({ bridge, stream }, `The bridge may lack changes of ${stream}: its pages are told so.`)
}

function logRequest(logger: Logger, message: RequestMessage): void {
  const { method, path, status, durationMs } = message
  const level = status >= 500 ? 'warn' : 'debug'
  logger[level](message, `${method} ${path} ${status} in ${durationMs.toFixed(1)} ms`)
}
