/** Nested collections: the orders of each shop. A follower in the same process hears of them over the feed, without a broker. */
import { connect } from 'lockstep/client'
import { createMemoryLog } from 'lockstep/log'
import { type ApiOf, defineResource, openHttpServer, openService } from 'lockstep/service'

const shops = defineResource('shops', {
  schema: { type: 'object', required: ['name'], properties: { name: { type: 'string' } } },
})
const orders = defineResource('shops/{shop}/orders', {
  schema: { type: 'object', required: ['item'], properties: { item: { type: 'string' } } },
})
/** { shops: Shop; 'shops/{shop}/orders': Order } */
type Api = ApiOf<[typeof shops, typeof orders]>

await using log = createMemoryLog()
await using service = await openService({ resources: [shops, orders], log })
await using server = await openHttpServer(service, { port: 0 })

await service.transaction(async tx => {
  await tx.create(shops, { id: 'corner', name: 'The corner shop' })
  await tx.create(orders.in('corner'), { id: '1', item: 'tea' })
})

await using lockstep = await connect<Api>({ api: server.url })
const cornerOrders = lockstep.follow('/shops/corner/orders')
await cornerOrders.ready
console.log([...cornerOrders.state.values()].map(({ item }) => item).join())

cornerOrders.on('change', ({ event, path }) => console.log(event, path))
const headers = { 'content-type': 'application/json' }
const body = JSON.stringify({ id: '2', item: 'milk' })
const posted = await fetch(`${server.url}/shops/corner/orders`, { method: 'POST', headers, body })
await cornerOrders.atLeast(posted.headers.get('lockstep-marker') ?? '')

// Whoever removes a shop removes its orders with it, in the same transaction.
const removed = await fetch(`${server.url}/shops/corner`, { method: 'DELETE' })
await cornerOrders.atLeast(removed.headers.get('lockstep-marker') ?? '')
console.log(`${cornerOrders.state.size} orders`)
