/** What the pages of the demo have in common in the browser: they follow, and say how well. */
import { Idiomorph } from 'idiomorph'
import { type LiveOptions, type LivePage, live } from 'lockstep/live/browser'
import { createViews } from 'lockstep/live/views'
import * as views from '../views.ts'

export function follow(options: LiveOptions = {}): LivePage {
  return live({ views: createViews({ ...views }, { morph: Idiomorph.morph }), ...options })
}
