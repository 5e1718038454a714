/** Mirrors an API that knows nothing of it: a reverse proxy that sees what changes, and serves and publishes that. */
export { type Learning, type LearningOptions, openLearning } from './learning.ts'
export { type MirrorSettings, readMirrorSettings } from './mirror-settings.ts'
export type { MirroredOptions, Pages } from './mirrored.ts'
export { type Proposal, proposeFromOpenApi } from './proposal.ts'
export { openSidecar, type Sidecar, type SidecarOptions } from './sidecar.ts'
export type { Touches } from './target-table.ts'
