import assert from 'node:assert/strict'
import test from 'node:test'
import { idOf, isUnder, lastSegmentOf, parentOf, streamOf } from 'lockstep/contract'

test('a canonical path gives its stream, its parent and its last segment', () => {
  for (const [path, stream, parent, last, id] of [
    ['/people', 'people', '', 'people', 'people'],
    ['/people/john%40home', 'people', '/people', 'john%40home', 'john@home'],
    ['/people/1/friends', 'people', '/people/1', 'friends', 'friends'],
    ['/b%C3%BCcher/a%2Fb', 'b%C3%BCcher', '/b%C3%BCcher', 'a%2Fb', 'a/b'],
  ] as const) {
    assert.deepEqual(
      [streamOf(path), parentOf(path), lastSegmentOf(path), idOf(path)],
      [stream, parent, last, id],
    )
  }
})

test('a path is under itself and under each of its parents, not under what begins alike', () => {
  for (const under of ['', '/people', '/people/1', '/people/1/friends'])
    assert.equal(isUnder('/people/1/friends', under), true, under)
  for (const other of ['/people/1/friends/2', '/people/10', '/peopl', '/people/1/f'])
    assert.equal(isUnder('/people/1/friends', other), false, other)
})
