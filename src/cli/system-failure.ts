/** What the operating system refuses, in words: its own name and codes for it say little to who is not used to them. */

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'this user has no right to it',
  EPERM: 'this user has no right to it',
  ENOENT: 'it is not there, and cannot be made there',
  EEXIST: 'a file is in its place',
  ENOTDIR: 'a file is in the place of a folder',
  EISDIR: 'a folder is in the place of a file',
  EROFS: 'the file system can only be read',
  ENOSPC: 'the disk is full',
  EDQUOT: "this user's part of the disk is full",
  ELOOP: 'its links lead in a circle',
  ENAMETOOLONG: 'its name is too long',
  EMFILE: 'too many files are open',
  EIO: 'the disk fails',
}

/** The reason as the end of a sentence; `undefined` for an error that is not the operating system's. */
export function reasonOfSystem(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error)) return undefined
  const { code, message } = error as NodeJS.ErrnoException
  return (code !== undefined && reasons[code]) || message
}
