import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createConnectionState } from '../../src/broker/connection-state.ts'

const silent = (): void => {}

describe('connection state', () => {
  it('tells each change once, and nothing that is none', () => {
    const state = createConnectionState(false, silent)
    const heard: boolean[] = []
    state.listen(now => heard.push(now))
    for (const next of [false, true, true, false, false, true]) state.set(next)
    assert.deepEqual(heard, [true, false, true])
  })

  it('tells every listener all changes in their order, also one that a listener causes', () => {
    const state = createConnectionState(false, silent)
    const heard: string[] = []
    state.listen(now => {
      heard.push(`first ${now}`)
      if (now) state.set(false)
    })
    state.listen(now => heard.push(`second ${now}`))
    state.set(true)
    assert.deepEqual(heard, ['first true', 'second true', 'first false', 'second false'])
    assert.equal(state.connected, false)
  })

  it('reports what a listener throws and calls the others', () => {
    const stages: string[] = []
    const state = createConnectionState(false, (_error, { stage }) => stages.push(stage))
    let heard = false
    state.listen(() => {
      throw new Error('on purpose')
    })
    state.listen(() => {
      heard = true
    })
    state.set(true)
    assert.deepEqual([stages, heard], [['broker connection listener'], true])
  })

  it('does not call who was removed, not even by an earlier listener of the same change', () => {
    const state = createConnectionState(false, silent)
    let isCalled = false
    state.listen(() => remove())
    const remove = state.listen(() => {
      isCalled = true
    })
    state.set(true)
    assert.equal(isCalled, false)
  })
})
