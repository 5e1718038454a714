/** Mirrors an application whose routes exist already, in whatever framework they are written, with a few lines. */
export type { ReadAll, ReadOne } from './application.ts'
export type { Listener } from './local-fetch.ts'
export type { Amendment, Meeting, MetAnswer, MetRequest } from './meeting.ts'
export { type Mirror, openMirror } from './mirror.ts'
export type { MirroredRoutes, MirrorOptions } from './mirror-options.ts'
export { createMirroredListener, createNodeMiddleware, type NodeMiddleware } from './node.ts'
