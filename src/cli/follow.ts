/**
 * `lockstep follow <url>`: a live copy of a collection or resource, on the terminal or as lines.
 *
 * The URL is enough: the answer's headers say where the API root, the feed and the topics are (api-place.ts).
 * Following itself is `lockstep/client`.
 */
import { type Command, Option } from 'commander'
import { type CollectionFollower, connect, type Follower, type ResourceFollower } from 'lockstep/client'
import { type Json, type JsonObject, LockstepError } from 'lockstep/contract'
import { withAdvice } from './advice.ts'
import { type ApiPlace, findApiPlace } from './api-place.ts'
import { parseBrokerUrl, parseFollowUrl, parseHeader, showUrl, trimUrl } from './argument.ts'
import { explain, reportInBackground } from './failure.ts'
import { formatChangeJson, formatChangeLine } from './follow-line.ts'
import type { HeldCopy } from './follow-memory.ts'
import { type FollowScreen, openFollowScreen } from './follow-screen.ts'
import { describeStatus } from './follow-view.ts'
import { type Stop, untilStopped } from './stop.ts'
import {
  formatJsonLine,
  isScreen,
  lineWidth,
  paintError,
  paintOut,
  printLine,
  printNotice,
} from './terminal.ts'

interface FollowOptions {
  readonly broker?: string
  readonly header?: Readonly<Record<string, string>>
  readonly json?: true
  readonly once?: true
}

const examples = `
Examples:
  $ lockstep follow http://127.0.0.1:3000/people           a table that stays right, until Ctrl-C
  $ lockstep follow http://127.0.0.1:3000/people/johndoe --broker mqtt://127.0.0.1:1883
  $ lockstep follow http://127.0.0.1:3000/people --json | jq .event
  $ lockstep follow http://127.0.0.1:3000/people --once    what is there now, and end

Without --broker it follows the feed over HTTP. Where standard output is no terminal it prints a line per change.`

export function declareFollow(program: Command): void {
  program
    .command('follow')
    .description('follow a collection or resource: what it is, and each change')
    .argument('<url>', 'a collection or resource of an API', parseFollowUrl)
    .addOption(
      new Option('--broker <url>', 'hear of changes over MQTT')
        .argParser(parseBrokerUrl)
        .env('LOCKSTEP_BROKER'),
    )
    .option('-H, --header <header>', 'send it to the API; may be repeated', parseHeader)
    .option('--json', 'print one JSON object per change, the whole copy first')
    .option('--once', 'print what is there now, and end')
    .addHelpText('after', examples)
    .action(follow)
}

async function follow(url: URL, options: FollowOptions): Promise<void> {
  const stop = untilStopped()
  const headers = options.header ?? {}
  const place = await findApiPlace(url, headers).catch(error => {
    throw withAdvice(error)
  })
  let screen: FollowScreen | undefined
  await using lockstep = await connect({
    api: place.root,
    broker: options.once ? undefined : options.broker,
    topicPrefix: place.topicPrefix,
    headers: () => headers,
    onError: (error, context) =>
      screen === undefined ? reportInBackground(error, context) : screen.say(explain(error)),
  })
  const follower = lockstep.follow(place.path.path as string)
  if (options.once) {
    await Promise.race([follower.ready, stop.promise])
    if (!stop.signal.aborted) printOnce(place, follower, options.json === true)
    return
  }
  const source = options.broker === undefined ? 'the feed' : showUrl(options.broker)
  if (isScreen(process.stdout) && !options.json) {
    screen = openFollowScreen({
      url: trimUrl(url),
      kind: place.path.kind,
      source,
      follower,
      copy: copyOf(follower, place),
    })
  } else printChanges(follower, place, options.json === true)
  try {
    await untilRefused(follower, stop)
  } finally {
    screen?.close()
  }
  if (screen !== undefined)
    printLine(`${place.path.path} at ${follower.marker}, ${follower.status} when it ended.`)
}

type AnyFollower = ResourceFollower<JsonObject> | CollectionFollower<JsonObject>

/** An API that says no at the beginning ends the command; later ones are waited out. */
async function untilRefused(follower: Follower<JsonObject>, stop: Stop): Promise<void> {
  await Promise.race([follower.ready, stop.promise])
  await stop.promise
}

function printChanges(follower: AnyFollower, place: ApiPlace, json: boolean): void {
  follower.on('change', change => {
    const nowMs = Date.now()
    const held = change.event === 'refreshed' && !json ? describeHeld(follower, place) : ''
    const options = { paint: paintOut, width: lineWidth(), nowMs, held }
    printLine(
      json ? formatChangeJson(change, () => wholeOf(follower, place)) : formatChangeLine(change, options),
    )
  })
  follower.on('status', status => {
    printNotice(paintError('dim', `status ${describeStatus(status, follower.staleForMs, Date.now())}`))
  })
}

function describeHeld(follower: AnyFollower, place: ApiPlace): string {
  if (place.path.kind === 'collection') {
    const { size } = (follower as CollectionFollower<JsonObject>).state
    return size === 1 ? '1 resource' : `${size} resources`
  }
  const whole = wholeOf(follower, place)
  return whole === null ? 'there is none' : formatJsonLine(whole)
}

function printOnce(place: ApiPlace, follower: AnyFollower, json: boolean): void {
  const whole = wholeOf(follower, place)
  if (whole === null) throw new LockstepError('not-found', `There is no ${place.path.path}.`)
  if (json) printLine(formatJsonLine(whole))
  else if (Array.isArray(whole)) for (const item of whole) printLine(formatJsonLine(item))
  else printLine(JSON.stringify(whole, null, 2))
}

/** The copy as JSON: an array for a collection, `null` for a resource that does not exist. */
function wholeOf(follower: AnyFollower, place: ApiPlace): Json {
  if (place.path.kind === 'collection')
    return [...(follower as CollectionFollower<JsonObject>).state.values()]
  return (follower as ResourceFollower<JsonObject>).state ?? null
}

function copyOf(follower: AnyFollower, { path }: ApiPlace): HeldCopy {
  if (path.kind === 'collection') {
    const { state, versionOf } = follower as CollectionFollower<JsonObject>
    return { states: state, versionOf: id => versionOf(id) ?? 0 }
  }
  const resource = follower as ResourceFollower<JsonObject>
  const id = path.segments.at(-1)!
  return {
    get states() {
      return new Map(resource.state === undefined ? [] : [[id, resource.state]])
    },
    versionOf: () => resource.version,
  }
}
