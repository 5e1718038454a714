/**
 * Installs what the tests need besides Node: `npm run test:programs`.
 *
 * It does so only as root on Debian and its relatives, and only what is missing. Elsewhere it says what is
 * missing; the tests that need it are skipped.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { accessSync, constants, globSync } from 'node:fs'
import path from 'node:path'

interface Program {
  readonly command: string
  readonly packageName: string
  /** What the package brings, as a pattern, where other packages have the command too. */
  readonly file?: string
  /** The system service that the package starts, and that nobody asked for. */
  readonly service?: string
}

const nchanModule = '/usr/lib/nginx/modules/ngx_nchan_module.so'

const programs: readonly Program[] = [
  { command: 'mosquitto', packageName: 'mosquitto', service: 'mosquitto' },
  { command: 'mosquitto_pub', packageName: 'mosquitto-clients' },
  { command: 'rabbitmq-server', packageName: 'rabbitmq-server', service: 'rabbitmq-server' },
  { command: 'nats-server', packageName: 'nats-server', service: 'nats-server' },
  { command: 'initdb', packageName: 'postgresql', service: 'postgresql' },
  { command: 'pgbouncer', packageName: 'pgbouncer', service: 'pgbouncer' },
  { command: 'chromium', packageName: 'chromium' },
  // The examples in other languages.
  { command: 'python3', packageName: 'python3-paho-mqtt', file: '/usr/lib/python3/dist-packages/paho' },
  { command: 'php', packageName: 'php-cli' },
  { command: 'php', packageName: 'php-sqlite3', file: '/etc/php/*/cli/conf.d/*-pdo_sqlite.ini' },
  { command: 'php', packageName: 'php-intl', file: '/etc/php/*/cli/conf.d/*-intl.ini' },
  // For the benchmarks of live pages and of the gateway only.
  { command: 'nginx', packageName: 'libnginx-mod-nchan', file: nchanModule, service: 'nginx' },
  { command: 'haproxy', packageName: 'haproxy', service: 'haproxy' },
]

const missing = programs.filter(
  ({ command, file }) => !isInstalled(command) || (file !== undefined && globSync(file).length === 0),
)
const names = missing.map(({ packageName }) => packageName)
if (names.length === 0) {
  say('all programs are there.')
} else if (process.getuid?.() !== 0 || !isInstalled('apt-get')) {
  say(
    `missing: ${names.join(', ')}. Install them yourself (this needs root and apt-get); until then their tests are skipped.`,
  )
} else {
  say('reading the list of packages …')
  aptGet('update')
  say(`installing ${names.join(', ')} …`)
  aptGet('install', '--yes', '--no-install-recommends', ...names)
  for (const { service } of missing) {
    if (service !== undefined) spawnSync('service', [service, 'stop'], { stdio: 'ignore' })
  }
  say('done.')
}

function aptGet(...args: string[]): void {
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    execFileSync('apt-get', ['--quiet', ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
    })
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string }
    console.error(`${stdout ?? ''}${stderr ?? ''}`)
    say(`apt-get ${args[0]} failed (see above).`)
    process.exit(1)
  }
}

/** Is there an executable of that name, on the PATH or where Debian puts daemons? */
function isInstalled(command: string): boolean {
  const folders = [
    ...(process.env['PATH'] ?? '').split(path.delimiter),
    '/usr/sbin',
    '/sbin',
    ...globSync('/usr/lib/postgresql/*/bin'),
  ]
  return folders.some(folder => {
    try {
      accessSync(path.join(folder, command), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

function say(text: string): void {
  console.log(`test-programs: ${text}`)
}
