/** Starts an nginx with Nchan on the core of the server, on a free port, as one process, and looks at what it uses. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { freePort } from './free-port.ts'
import { pinned, serverCore } from './measured-process.ts'

export interface Nchan extends AsyncDisposable {
  readonly port: number
  /** Processor time used so far, in microseconds; it is counted in steps of 10 ms. */
  cpuUs(): number
  rssBytes(): number
  stop(): Promise<void>
}

const moduleFile = '/usr/lib/nginx/modules/ngx_nchan_module.so'

/** Where nginx is; `undefined` where it or its module Nchan is not installed. */
export function findNchan(): string | undefined {
  if (!existsSync(moduleFile)) return undefined
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map(folder => join(folder, 'nginx')).find(existsSync)
}

export function readNginxVersion(program: string): string {
  const { stderr } = spawnSync(program, ['-v'], { encoding: 'utf8' })
  return /nginx\/(\S+)/.exec(stderr)?.[1] ?? 'unknown'
}

/** Resolves when it takes connections: `POST /publish`, and WebSockets at `/live`. `folder` gets its files. */
export async function startNchan(program: string, folder: string): Promise<Nchan> {
  const port = await freePort()
  const own = join(folder, `nchan-${port}`)
  await mkdir(own, { recursive: true })
  const file = join(own, 'nginx.conf')
  await writeFile(file, configure(port, own))
  const [command, ...args] = pinned(serverCore, [program, '-p', own, '-c', file, '-e', 'stderr'])
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const kill = (): void => void child.kill('SIGKILL')
  const gone = new Promise<void>(resolve => child.once('exit', () => resolve()))
  process.once('exit', kill)
  const stop = async (): Promise<void> => {
    process.off('exit', kill)
    kill()
    await gone
  }
  await isUp(child, port)
  const tickUs = 1_000_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
  return {
    port,
    cpuUs: () => readTicks(child.pid!) * tickUs,
    rssBytes: () => readRss(child.pid!),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** One worker, nothing written to the disk, no logs, and keep-alive connections of publishers that never end. */
function configure(port: number, folder: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  return `load_module ${moduleFile};
user root;
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 20000;
error_log stderr error;
pid ${join(folder, 'nginx.pid')};
events { worker_connections 16384; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  nchan_shared_memory_size 128m;
  ${temporary.map(name => `${name}_temp_path ${join(folder, name)};`).join(' ')}
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location = /publish {
      nchan_publisher;
      nchan_channel_id live;
      nchan_message_buffer_length 200;
      nchan_message_timeout 10m;
    }
    location = /live {
      nchan_subscriber websocket;
      nchan_channel_id live;
      nchan_subscriber_first_message newest;
    }
  }
}
`
}

async function isUp(child: ReturnType<typeof spawn>, port: number): Promise<void> {
  let said = ''
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2_000)
  })
  const deadlineMs = performance.now() + 5_000
  while (performance.now() < deadlineMs && child.exitCode === null) {
    const isThere = await fetch(`http://127.0.0.1:${port}/`).then(
      response => response.arrayBuffer(),
      () => undefined,
    )
    if (isThere !== undefined) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error(`nginx is not up: ${said}`)
}

/** Of the process in user and kernel mode. */
function readTicks(pid: number): number {
  // The name of the program, in parentheses, may hold spaces.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return Number(fields[11]) + Number(fields[12])
}

function readRss(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) * 1_024
}
