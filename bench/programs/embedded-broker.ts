/** The embedded broker alone in a process, for others to publish and to subscribe. */
import { openEmbeddedBroker } from 'lockstep/broker'
import { runProgram } from '../harness/program.ts'

runProgram<object>(async () => {
  const broker = await openEmbeddedBroker({ port: 0, publishers: { bench: 'bench' } })
  return {
    ready: { url: broker.url, publisherUrl: broker.url.replace('//', '//bench:bench@') },
    close: () => broker.close(),
  }
})
