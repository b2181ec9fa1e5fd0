export type Folder = "output" | "input" | "temp";

export interface StoredFile {
  readonly mime: string;
  readonly modifiedAt: number;
  /** Painted and encoded when it is read for the first time. */
  bytes(): Uint8Array<ArrayBuffer>;
  /** The picture in another encoding, where the simulator has painted it itself. */
  readonly asJpeg?: (quality: number) => Uint8Array<ArrayBuffer>;
}

/** The server's folders. Outputs survive a restart as files on a disk do; temporary files do not. */
export interface FileStore {
  get(folder: Folder, subfolder: string, filename: string): StoredFile | undefined;
  put(folder: Folder, subfolder: string, filename: string, file: StoredFile): void;
  names(folder: Folder): readonly string[];
  /** The number of the next file with this prefix. */
  nextCount(folder: Folder, prefix: string): number;
  clear(folder: Folder): void;
}

export function createFileStore(): FileStore {
  const files = new Map<string, StoredFile>();
  const counts = new Map<string, number>();
  const keyOf = (folder: string, subfolder: string, filename: string): string =>
    `${folder}/${subfolder}/${filename}`;
  return {
    get: (folder, subfolder, filename) => files.get(keyOf(folder, subfolder, filename)),
    put: (folder, subfolder, filename, file) => {
      files.set(keyOf(folder, subfolder, filename), file);
    },
    names: (folder) =>
      [...files.keys()]
        .filter((key) => key.startsWith(`${folder}//`))
        .map((key) => key.slice(folder.length + 2)),
    nextCount: (folder, prefix) => {
      const count = (counts.get(`${folder}/${prefix}`) ?? 0) + 1;
      counts.set(`${folder}/${prefix}`, count);
      return count;
    },
    clear: (folder) => {
      for (const key of [...files.keys()]) if (key.startsWith(`${folder}/`)) files.delete(key);
    },
  };
}

export const fromBytes = (bytes: Uint8Array<ArrayBuffer>, mime: string, modifiedAt: number): StoredFile => ({
  mime,
  modifiedAt,
  bytes: () => bytes,
});
