/** Does something at a steady rate, whether or not the last time is done: an open loop. */

/** Calls `act` `perSecond` times a second for so long; what a late timer missed is made up for at once. */
export function keepPace(perSecond: number, durationMs: number, act: () => void): Promise<void> {
  const startMs = performance.now()
  const total = Math.floor((perSecond * durationMs) / 1_000)
  let count = 0
  return new Promise(resolve => {
    const turn = (): void => {
      const due = Math.min(total, Math.floor(((performance.now() - startMs) * perSecond) / 1_000) + 1)
      for (; count < due; count++) act()
      if (count >= total) resolve()
      else setTimeout(turn, 1)
    }
    turn()
  })
}
