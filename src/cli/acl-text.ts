/**
 * Rights as each broker reads them: Mosquitto's acl_file, RabbitMQ's definitions, NATS's authorization block, and
 * the `rights` of the embedded broker (Aedes). None holds a password. docs/broker.md says how each is loaded.
 */
import type { UserRights } from './acl-rights.ts'

export const aclBrokers = ['mosquitto', 'rabbitmq', 'nats', 'aedes'] as const
export type AclBroker = (typeof aclBrokers)[number]

export function formatAcl(broker: AclBroker, rights: readonly UserRights[]): string {
  return formatters[broker](rights)
}

const formatters: Readonly<Record<AclBroker, (rights: readonly UserRights[]) => string>> = {
  mosquitto: formatMosquitto,
  rabbitmq: formatRabbitMq,
  nats: formatNats,
  aedes: formatAedes,
}

function formatMosquitto(rights: readonly UserRights[]): string {
  const blocks = rights.map(({ user, publish, read }) => {
    const lines = accesses(publish, read).map(([access, filter]) => `topic ${access} ${filter}`)
    return [`user ${user}`, ...lines].join('\n')
  })
  return `# acl_file of mosquitto.conf; goes with "allow_anonymous false" and a password_file.\n${blocks.join('\n\n')}\n`
}

function accesses(
  publish: readonly string[],
  read: readonly string[],
): (readonly [access: string, filter: string])[] {
  return [...new Set([...publish, ...read])].map(filter => {
    const [writes, reads] = [publish.includes(filter), read.includes(filter)]
    return [writes && reads ? 'readwrite' : writes ? 'write' : 'read', filter]
  })
}

/** Subscriptions are queues of one's own; what goes through `amq.topic` is told by its routing key. */
function formatRabbitMq(rights: readonly UserRights[]): string {
  const ownQueues = '(mqtt-subscription-|amq\\.gen-).+'
  const exchange = 'amq\\.topic'
  const permissions = rights.map(({ user, publish }) => ({
    user,
    vhost: '/',
    configure: `^${ownQueues}$`,
    write: publish.length === 0 ? `^${ownQueues}$` : `^(${exchange}|${ownQueues})$`,
    read: `^(${exchange}|${ownQueues})$`,
  }))
  const topicPermissions = rights.map(({ user, publish, read }) => ({
    user,
    vhost: '/',
    exchange: 'amq.topic',
    write: toRoutingKeys(publish),
    read: toRoutingKeys(read),
  }))
  return `${JSON.stringify({ permissions, topic_permissions: topicPermissions }, null, 2)}\n`
}

/** A regular expression for routing keys, and for the patterns of bindings within them. */
function toRoutingKeys(filters: readonly string[]): string {
  if (filters.length === 0) return '^$'
  const keys = filters.map(filter => {
    const isTree = filter.endsWith('/#')
    const key = (isTree ? filter.slice(0, -2) : filter).replaceAll('/', '\\.')
    return isTree ? `${key}(\\..+)?` : key
  })
  return `^(${keys.join('|')})$`
}

/** The server itself hears for its MQTT clients on `$MQTT.sub`. */
function formatNats(rights: readonly UserRights[]): string {
  const users = rights.map(({ user, publish, read }) => {
    const mayPublish = publish.length === 0 ? '{ deny: ">" }' : formatSubjects(publish)
    return `    {
      user: "${user}", password: $${passwordVariable(user)}
      permissions: {
        publish: ${mayPublish}
        subscribe: ${formatSubjects(read, ['$MQTT.sub.>'])}
      }
    }`
  })
  return `# For nats-server.conf: include this file. Passwords come from the environment, with double quotes around them.\nauthorization {\n  users: [\n${users.join('\n')}\n  ]\n}\n`
}

/** Where the password of a user is looked for: `LOCKSTEP_SERVICE_PASSWORD`. */
export function passwordVariable(user: string): string {
  return `LOCKSTEP_${user.toUpperCase().replaceAll('-', '_')}_PASSWORD`
}

function formatSubjects(filters: readonly string[], more: readonly string[] = []): string {
  const subjects = filters.flatMap(filter => {
    const subject = filter.replaceAll('/', '.')
    // MQTT's "#" takes the level above along, which ">" does not.
    return subject.endsWith('.#') ? [subject.slice(0, -2), subject.replace(/#$/, '>')] : [subject]
  })
  return `[${[...subjects, ...more].map(subject => `"${subject}"`).join(', ')}]`
}

function formatAedes(rights: readonly UserRights[]): string {
  const byUser = Object.fromEntries(rights.map(({ user, publish, read }) => [user, { publish, read }]))
  return `${JSON.stringify(byUser, null, 2)}\n`
}
