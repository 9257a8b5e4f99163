// The hash that a model file carries in its own metadata, of everything else in the file: see "Model" in docs/formats.md.

import { sha256 } from "@noble/hashes/sha2.js";

/** The key and what protobuf writes between it and its 64 digits. */
const MARK = Uint8Array.from([...new TextEncoder().encode("mien_sha256"), 0x12, 0x40]);
const N_DIGITS = 64;

/** Require a model file to be as it was written. One without a hash, as earlier releases wrote it, is not checked. */
export async function requireUnchanged(file: Uint8Array): Promise<void> {
  const start = startOfDigits(file);
  if (start < 0) return;
  const recorded = new TextDecoder().decode(file.subarray(start, start + N_DIGITS));
  // Not `slice`, which for a Buffer of Node is a view.
  const zeroed = new Uint8Array(file);
  zeroed.fill("0".charCodeAt(0), start, start + N_DIGITS);
  const digits = Array.from(await digest(zeroed), (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (digits !== recorded) {
    throw new Error("The model file has changed since it was written: the hash in its metadata does not match its content");
  }
}

/** Return a file with its hash in place of the zeros in its metadata. */
export async function withHash(file: Uint8Array): Promise<Uint8Array> {
  const digits = Array.from(await digest(new Uint8Array(file)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const hashed = new Uint8Array(file);
  hashed.set(new TextEncoder().encode(digits), startOfDigits(file));
  return hashed;
}

function startOfDigits(file: Uint8Array): number {
  // Exports write the metadata after the weights.
  for (let at = file.length; (at = file.lastIndexOf(MARK[0], at - 1)) >= 0; ) {
    if (MARK.every((byte, index) => file[at + index] === byte)) return at + MARK.length;
    if (at === 0) break;
  }
  return -1;
}

/** Browsers compute hashes themselves, beside the worker's thread, but only on https:// and localhost. */
async function digest(content: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  if (!globalThis.crypto?.subtle) return sha256(content);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", content));
}
