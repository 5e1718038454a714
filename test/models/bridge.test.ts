/** Holds that a page ends equal to the service, with no hole and nothing shown twice, whichever bridge feeds it. */
import test from 'node:test'
import { createBridgeModel } from './bridge.ts'
import type { BridgeAblation, BridgeScope } from './bridge-world.ts'
import { type Exploration, explore } from './explore.ts'
import { checkExploration, isLarge, maxStates } from './verdict.ts'

const whole: Omit<BridgeScope, 'beyondRing'> = isLarge
  ? { p: ['a', 'b', 'a'], qLength: 2, ringLength: 1, losses: 2, cuts: 1 }
  : { p: ['a', 'b', 'a'], qLength: 1, ringLength: 1, losses: 1, cuts: 1 }
/** What fails does so in less. */
const less: typeof whole = isLarge ? whole : { ...whole, p: ['a', 'b'] }

/** The first letters of the invariants (bridge-world.ts) that break without something. */
const ablations: readonly {
  name: string
  without: readonly BridgeAblation[]
  breaks: string
  beyondRing?: BridgeScope['beyondRing']
  scope?: typeof whole
}[] = [
  {
    name: 'with a page that does not check where frames begin it still holds',
    without: ['no check of after'],
    breaks: '',
  },
  {
    name: 'with a page that connects again with the marker of its HTML it still holds',
    without: ['reconnects with the first marker'],
    breaks: '',
    scope: isLarge ? whole : { ...whole, losses: 0 },
  },
  {
    name: 'without the version check the page shows things twice',
    without: ['no version check'],
    breaks: 'M',
  },
  {
    name: 'with the marker of the HTML and no version check the page goes back',
    without: ['reconnects with the first marker', 'no version check'],
    breaks: 'M',
  },
  {
    name: 'with the maximum of the markers the page has a hole from the start',
    without: ['maximum of markers'],
    breaks: 'C H',
  },
  {
    name: 'with a ring that reaches one too far a change is missing',
    without: ['ring one too lenient'],
    breaks: 'C H',
  },
  {
    name: 'with a ring that reaches one too short pages are told to refresh in vain',
    without: ['ring one too strict'],
    breaks: 'U',
  },
  {
    name: 'with a ring that reaches one too short, and the feed, a page never gets live',
    without: ['ring one too strict'],
    beyondRing: 'feed',
    breaks: 'S',
  },
  {
    name: 'with a bridge that serves beyond its own hole a change is missing',
    without: ['serves beyond its hole'],
    breaks: 'C H',
  },
  {
    name: 'with a bridge behind the page that sends what it has, old things come as news',
    without: ['behind: sends its ring'],
    breaks: 'O',
  },
  {
    name: 'with a bridge behind the page that says bridged, the claim is false and old things come as news',
    without: ['behind: says bridged'],
    breaks: 'B O',
  },
  {
    name: 'with a wait between ring and live set the last change is missing',
    without: ['waits between ring and live set'],
    breaks: 'C',
  },
  {
    name: 'with such a wait, and no check where frames begin, the page claims a hole',
    without: ['waits between ring and live set', 'no check of after'],
    breaks: 'C H',
  },
  {
    name: 'with a session that goes live after the feed without another look at the ring a change is missing',
    without: ['joins after the feed'],
    beyondRing: 'feed',
    breaks: 'C B O',
  },
  {
    name: 'with a refresh that a cache answers a page refreshes for ever',
    without: ['refresh from a cache'],
    breaks: 'S',
  },
]

test('the full protocol holds where the feed is read beyond the ring', t => {
  checkExploration(t, exploreBridge({ ...whole, beyondRing: 'feed' }), {
    breaks: '',
    reaches: [
      'the baselines are of different moments',
      'a page waits for a bridge behind it',
      'a bridge fills its hole',
      'a gap is bridged from the ring',
      'a gap is bridged from the feed',
      'the page drops what it shows already',
    ],
  })
})

test('the full protocol holds where the page has to refresh beyond the ring', t => {
  checkExploration(t, exploreBridge({ ...whole, beyondRing: 'refresh' }), {
    breaks: '',
    reaches: ['a page is told to refresh', 'a page waits for a bridge behind it'],
  })
})

for (const { name, without, breaks, beyondRing = 'refresh', scope = less } of ablations) {
  test(name, t => checkExploration(t, exploreBridge({ ...scope, beyondRing, without }), { breaks }))
}

function exploreBridge(scope: BridgeScope): Exploration {
  return explore(createBridgeModel(scope), { maxStates })
}
