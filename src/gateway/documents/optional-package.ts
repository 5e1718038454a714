/** Packages that only documents of others need: loaded on first use, with a helpful error where they are missing. */
import { LockstepError } from '../../contract/index.ts'

/** Errors: `missing-dependency`. */
export async function loadPackage<T>(name: string, why: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    throw new LockstepError(
      'missing-dependency',
      `${why} needs the package ${name}, which could not be loaded. Run: npm install ${name}`,
      { cause },
    )
  }
}
