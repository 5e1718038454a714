/** Aedes, set up so that it keeps the order of messages. */
import type { Aedes, AedesOptions, Client, PublishPacket } from 'aedes'
import { LockstepError } from '../contract/index.ts'

type Done = (error?: Error) => void

/**
 * Starts Aedes with one quality of service and no retained messages of its own: a message that takes another way
 * through it overtakes others, and what was overtaken is dropped as if it were a repetition.
 */
export async function startAedes(options: AedesOptions): Promise<Aedes> {
  const { Aedes } = await loadAedes()
  const aedes = new Aedes(options)
  // Its types leave out the client that its own handlers pass.
  const publish = aedes.publish.bind(aedes) as unknown as (
    packet: PublishPacket,
    client: Client | null,
    done: Done,
  ) => void

  function publishInOrder(packet: PublishPacket, client: Client | Done | null, done: Done = () => {}): void {
    if (typeof client === 'function') publishInOrder(packet, null, client)
    // Only clusters need what Aedes tells itself on $SYS; the policy keeps everyone else off.
    else if (packet.topic.startsWith('$')) done()
    else publish({ ...packet, qos: 1, retain: false }, client, done)
  }
  aedes.publish = publishInOrder
  await aedes.listen()
  return aedes
}

/** Cuts all clients. */
export function closeAedes(aedes: Aedes): Promise<void> {
  return new Promise(resolve => aedes.close(() => resolve()))
}

async function loadAedes(): Promise<typeof import('aedes')> {
  try {
    return await import('aedes')
  } catch (error) {
    throw new LockstepError(
      'missing-dependency',
      'openEmbeddedBroker needs the package "aedes", which cannot be loaded. Install it: npm install aedes@1',
      { cause: error },
    )
  }
}
