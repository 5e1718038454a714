// Reads the changes of a collection over AMQP 0-9-1: RabbitMQ's MQTT plugin puts each message into the exchange amq.topic,
// where people/johndoe is people.johndoe. What the queue missed is read from the feed. Needs `npm install amqplib`.
import { type ConsumeMessage, connect } from 'amqplib'
import { type Message, parseMessage, parsePosition } from 'lockstep/contract'

const { API = 'http://127.0.0.1:3010', AMQP = 'amqp://127.0.0.1:5672', STREAM = 'people' } = process.env

interface FeedPage {
  readonly epoch: string
  readonly to: number
  readonly head: number
  readonly changes: readonly Message[]
}

async function readFeed(after: string): Promise<FeedPage> {
  const response = await fetch(`${API}/${STREAM}/_changes?after=${after}`)
  if (!response.ok) throw new Error(`The feed answered ${response.status}: take a new baseline.`)
  return (await response.json()) as FeedPage
}

function show({ event, resource, id }: Message): void {
  console.log(event, resource, id)
}

const connection = await connect(AMQP)
const channel = await connection.createChannel()
// The next message comes when this one is dealt with.
await channel.prefetch(1)
const { queue } = await channel.assertQueue('', { exclusive: true })
await channel.bindQueue(queue, 'amq.topic', `${STREAM}.#`)
// Bound first: from here on no change is missed, whatever comes twice.
let { epoch, to: seq } = await readFeed('now')

async function take(message: Message): Promise<void> {
  const position = parsePosition(message.id)
  if (position.epoch === epoch && position.seq <= seq) return
  if (position.epoch === epoch && position.seq === seq + 1 && message.event !== 'reset') {
    seq = position.seq
    show(message)
    return
  }
  for (let isBehind = true; isBehind; ) {
    const page = await readFeed(`${epoch}:${seq}`)
    for (const change of page.changes) show(change)
    seq = page.to
    isBehind = page.to < page.head
  }
}

await channel.consume(queue, async (delivery: ConsumeMessage | null) => {
  if (delivery === null) return
  const message = parseMessage(delivery.content.toString())
  if (message !== undefined) await take(message)
  channel.ack(delivery)
})
console.log(`from ${STREAM}:${epoch}:${seq}`)
process.once('SIGTERM', () => connection.close())
