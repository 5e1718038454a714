import { loadCore, serverCore, startProcess } from './harness/measured-process.ts'
import { rmSync } from 'node:fs'
const [kind = 'lockstep', secs = '6', broker, profile] = process.argv.slice(2)
const map = { lockstep: './programs/lockstep-service.ts', bare: './peers/bare.ts', fastify: './peers/fastify.ts', feathers: './peers/feathers.ts' }
const file = `/work/main/.lockstep/prof-${process.pid}.db`
const server = await startProcess<{ port: number, brokerUrl?: string }>(new URL(map[kind], import.meta.url), { file, people: 1000, synchronous: 'FULL', broker: broker === 'none' ? undefined : broker }, { core: serverCore, nodeOptions: profile === 'prof' ? ['--cpu-prof', '--cpu-prof-dir=/tmp/prof/out', '--cpu-prof-interval=500'] : [] })
const load = await startProcess(new URL('./programs/patch-load.ts', import.meta.url), { port: server.ready.port, connections: 64, people: 1000 }, { core: loadCore })
await load.call('warmUp', { warmupMs: 3000 })
for (let i = 0; i < 2; i++) {
const before = await server.cpu()
const r = await load.call<any>('run', { durationMs: Number(secs) * 500 })
const after = await server.cpu()
console.log(kind, broker, Math.round(r.writes / r.seconds), 'w/s', 'cpu us/write', ((after.cpuUs - before.cpuUs) / r.writes).toFixed(1), 'p99', r.p99Ms.toFixed(1), 'err', r.errors)
}
await load.stop(); await server.stop()
for (const s of ['', '-wal', '-shm', '.guard']) rmSync(file + s, { force: true })
