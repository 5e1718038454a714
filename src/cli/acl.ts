/**
 * `lockstep acl <file>`: access rules for a broker, from the resources of a served file.
 *
 * Only the service may publish; readers read what they are named for. It prints, and changes nothing. The rules are
 * made in acl-rights.ts and written in acl-text.ts.
 */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { LockstepError, quote } from 'lockstep/contract'
import { listRights, type Reader, type UserRights } from './acl-rights.ts'
import { type AclBroker, aclBrokers, formatAcl, passwordVariable } from './acl-text.ts'
import { parseTopicPrefix } from './argument.ts'
import { readServedFile, type ServedFile } from './served-file.ts'
import { suggest } from './suggestion.ts'
import { printLine, printNotice } from './terminal.ts'

interface AclOptions {
  readonly broker: AclBroker
  readonly service: string
  readonly reader?: readonly Reader[]
  readonly topicPrefix?: string
  readonly publicReader?: readonly string[]
  readonly publicTopicPrefix: string
}

const examples = `
Examples:
  $ lockstep acl people.json --broker mosquitto > acl
  $ lockstep acl people.json --broker rabbitmq --reader web --reader reports=orders,people
  $ lockstep acl people.json --broker nats --topic-prefix acme/prod/

Without --reader there is one, "reader", that may read all. Names are those that users log in with, or the common names
of their certificates. No password is in the rules; docs/broker.md says how each broker loads them.`

export function declareAcl(program: Command): void {
  program
    .command('acl')
    .description("print a broker's access rules for the resources of a file")
    .argument('<file>', 'JSON or YAML file, as for serve')
    .addOption(
      new Option('--broker <kind>', 'for which broker; required').choices(aclBrokers).makeOptionMandatory(),
    )
    .option('--service <name>', 'the user who may publish', parseUser, 'service')
    .option(
      '--reader <name[=streams]>',
      'a user who may read these streams, or all; may be repeated',
      parseReader,
    )
    .option('--topic-prefix <prefix>', 'what stands before the topics, such as acme/prod/', parseTopicPrefix)
    .option(
      '--public-reader <name>',
      'a user who may read what the public hears; may be repeated',
      (text: string, before: readonly string[] = []) => [...before, parseUser(text)],
    )
    .option(
      '--public-topic-prefix <prefix>',
      "what stands before the public's topics",
      parseTopicPrefix,
      'public/',
    )
    .addHelpText('after', examples)
    .action(async (file: string, options: AclOptions) => {
      const rights = rightsOf(await readServedFile(file), options)
      printLine(formatAcl(options.broker, rights).trimEnd())
      printNotice(nextSteps[options.broker](rights))
    })
}

/** Errors: `invalid-option` for a reader of a stream that there is not, and for a name that comes twice. */
function rightsOf(served: ServedFile, options: AclOptions): UserRights[] {
  const routes = served.collections.map(({ resource }) => resource.route)
  const streams = [...new Set(routes.map(route => route.split('/', 1)[0]!))]
  const usual = options.publicReader === undefined ? [{ user: 'reader', streams: undefined }] : []
  const { service, reader: readers = usual } = options
  const topicPrefix = options.topicPrefix ?? served.settings.topicPrefix ?? ''
  for (const { user, streams: named = [] } of readers) {
    const unknown = named.find(stream => !streams.includes(stream))
    if (unknown !== undefined) throw unknownStream(user, unknown, streams)
  }
  // Names that differ only in case or in "-" and "_" would share a variable of the environment.
  const { publicReader: publicReaders = [], publicTopicPrefix } = options
  const names = [service, ...readers.map(({ user }) => user), ...publicReaders].map(passwordVariable)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) {
    throw new LockstepError('invalid-option', `Two users go by the same name (${twice}). Name each once.`)
  }
  const isPublic = (stream: string): boolean =>
    served.collections.some(({ resource }) => resource.route === stream && resource.face !== undefined)
  const publicStreams = streams.filter(isPublic)
  if (publicReaders.length > 0 && publicStreams.length === 0)
    throw new LockstepError(
      'invalid-option',
      'No resource of the file is public, so there is nothing for a public reader.',
    )
  return listRights({
    streams,
    topicPrefix,
    service,
    readers,
    publicReaders,
    publicStreams,
    publicTopicPrefix,
  })
}

function unknownStream(user: string, stream: string, streams: readonly string[]): LockstepError {
  return new LockstepError(
    'invalid-option',
    `The reader ${quote(user)} is to read ${quote(stream)}, which the file does not serve${suggest(stream, streams)}.`,
  )
}

/** No name may be syntax in the file of any broker. */
function parseUser(text: string): string {
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,63}$/.test(text)) {
    throw new InvalidArgumentError(
      'Give a name of [A-Za-z0-9_-], at most 64 characters, that begins with a letter.',
    )
  }
  return text
}

function parseReader(text: string, before: readonly Reader[] = []): readonly Reader[] {
  const [, name = '', list] = /^([^=]*)(?:=(.*))?$/s.exec(text) ?? []
  const streams = list?.split(',').map(stream => stream.trim())
  if (streams?.includes('') === true) throw new InvalidArgumentError('Write it as in reports=orders,people.')
  return [...before, { user: parseUser(name), streams }]
}

/** What to do with the rules; on standard error, so that the rules can go into a file. */
const nextSteps: Readonly<Record<AclBroker, (rights: readonly UserRights[]) => string>> = {
  mosquitto: rights =>
    `Next: save it, name it as acl_file in mosquitto.conf, and give passwords: ${listUsers(rights, user => `mosquitto_passwd <file> ${user}`)}.`,
  rabbitmq: rights =>
    `Next: make the users first (${listUsers(rights, user => `rabbitmqctl add_user ${user}`)}), then save it and run rabbitmqctl import_definitions <file>.`,
  nats: rights =>
    `Next: save it, include it in the server's configuration, and set ${listUsers(rights, passwordVariable)}.`,
  aedes: rights =>
    `Next: give it to openEmbeddedBroker as rights, with the passwords of ${listUsers(rights, user => user)} in publishers and readers.`,
}

function listUsers(rights: readonly UserRights[], format: (user: string) => string): string {
  return rights.map(({ user }) => format(user)).join(', ')
}
