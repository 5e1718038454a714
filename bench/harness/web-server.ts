/** nginx and HAProxy for the benchmark: as the upstream that answers by itself, and as gateways with a key check and a rate limit. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { delimiter, join } from 'node:path'
import { freePort } from './free-port.ts'
import { pinned } from './measured-process.ts'

export interface WebServer extends AsyncDisposable {
  readonly port: number
}

export const benchKey = 'bench-key'

/** Where the program is; `undefined` where it is not installed. */
export function findWebServer(name: 'nginx' | 'haproxy'): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders.map(folder => join(folder, name)).find(existsSync)
}

/** nginx that answers every GET with a small JSON text. */
export function startUpstream(program: string, folder: string, core: number): Promise<WebServer> {
  const body = JSON.stringify({
    id: 'small',
    name: 'A small answer of about a hundred bytes',
    of: 'the upstream',
    n: 1,
  })
  return startNginx(
    program,
    folder,
    core,
    port =>
      `server { listen 127.0.0.1:${port} backlog=4096; keepalive_requests 1000000000; location / { default_type application/json; return 200 '${body}'; } }`,
  )
}

/** nginx as a gateway: a map of keys, and `limit_req`. */
export function startNginxGateway(
  program: string,
  folder: string,
  core: number,
  upstream: number,
): Promise<WebServer> {
  return startNginx(
    program,
    folder,
    core,
    port => `
    upstream small { server 127.0.0.1:${upstream}; keepalive 128; keepalive_requests 1000000000; }
    map $http_authorization $account { default ""; "Bearer ${benchKey}" bench; }
    limit_req_zone $account zone=accounts:1m rate=500000r/s;
    server { listen 127.0.0.1:${port} backlog=4096; keepalive_requests 1000000000;
      location / { if ($account = "") { return 401; } limit_req zone=accounts burst=500000 nodelay;
        proxy_pass http://small; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-Id $request_id; } }`,
  )
}

/** HAProxy with one thread, a key check and a stick table that counts. */
export async function startHaproxyGateway(
  program: string,
  folder: string,
  core: number,
  upstream: number,
): Promise<WebServer> {
  const port = await freePort()
  const file = join(folder, `haproxy-${port}.cfg`)
  await writeFile(
    file,
    `global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  option http-keep-alive
frontend front
  bind 127.0.0.1:${port}
  http-request deny deny_status 401 unless { req.hdr(authorization) "Bearer ${benchKey}" }
  stick-table type string len 64 size 1k expire 60s store http_req_rate(1s)
  http-request track-sc0 req.hdr(authorization)
  http-request deny deny_status 429 if { sc_http_req_rate(0) gt 500000 }
  http-request set-header X-Forwarded-For %[src]
  default_backend small
backend small
  http-reuse always
  server one 127.0.0.1:${upstream}
`,
  )
  return await start([program, '-db', '-q', '-f', file], core, port)
}

async function startNginx(
  program: string,
  folder: string,
  core: number,
  http: (port: number) => string,
): Promise<WebServer> {
  const port = await freePort()
  const file = join(folder, `nginx-${port}.conf`)
  await writeFile(
    file,
    `daemon off; master_process off; worker_processes 1; pid ${folder}/nginx-${port}.pid; error_log stderr crit;
events { worker_connections 8192; }
http { access_log off; client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
${http(port)} }
`,
  )
  return await start([program, '-p', folder, '-c', file], core, port)
}

async function start(line: readonly string[], core: number, port: number): Promise<WebServer> {
  const [command, ...args] = pinned(core, line)
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2_000)
  })
  const kill = (): void => void child.kill('SIGKILL')
  process.once('exit', kill)
  let isGone = false
  const gone = new Promise<void>(resolve =>
    child.once('exit', () => {
      isGone = true
      resolve()
    }),
  )
  while (!(await isListening(port))) if (isGone) throw new Error(`${line[0]} ended: ${said}`)
  return {
    port,
    async [Symbol.asyncDispose]() {
      process.off('exit', kill)
      kill()
      await gone
    },
  }
}

function isListening(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => setTimeout(resolve, 20, false))
  })
}
