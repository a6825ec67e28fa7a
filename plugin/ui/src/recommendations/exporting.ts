// Recommendations as a file: the server makes it, and it comes through Stash in pieces, which are put together here.
import { call, exportPiece } from "../backend";
import type { Wanted } from "./filters";

export type Format = "csv" | "parquet";

/** Fetches what the filter lets through and hands it to the browser as a download. Throws Failed. */
export async function download(
  wanted: Wanted,
  format: Format,
  progress: (doneBytes: number, totalBytes: number) => void,
  stopped: () => boolean,
): Promise<void> {
  const made = await call("export_make", {
    query: {
      format,
      type: wanted.type ? [wanted.type] : [],
      status: wanted.status === "all" ? [] : [wanted.status],
      q: wanted.q,
      min_confidence: wanted.min || null,
    },
  });
  try {
    const pieces: ArrayBuffer[] = [];
    let done = 0;
    while (done < made.size_bytes && !stopped()) {
      progress(done, made.size_bytes);
      const piece = bytesOf((await exportPiece(made.id, done)).data);
      pieces.push(piece);
      done += piece.byteLength;
    }
    if (!stopped()) save(new Blob(pieces, { type: made.media_type }), made.name);
  } finally {
    // It goes by itself after a day: that it cannot be removed now is no failure of the download.
    await call("export_remove", { path: { id: made.id } }).catch(() => undefined);
  }
}

function bytesOf(base64: string): ArrayBuffer {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
  return bytes.buffer;
}

function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  window.setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
