/** The pages that only follow. */
import { follow } from './everywhere.ts'

follow()
