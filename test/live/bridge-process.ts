/** A bridge as a program of its own, to be killed: `API` and `PORT` say what it hears and where it listens. Tells its parent when it is up. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { mountBridge, openBridge } from '../../src/live/index.ts'

const { API = '', PORT = '0' } = process.env
const bridge = await openBridge({ sources: [{ api: API, streams: ['people'] }], access: 'public' })
const server = createServer((_request, response) => response.writeHead(404).end())
mountBridge(bridge, server)
server.listen(Number(PORT), '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('disconnect', () => process.exit())
