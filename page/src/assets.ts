// Addresses of the page's own files. They name the content, so that browsers may keep it.

/** By file name, of the files that were built before the one that contains this; set by build.mjs. */
declare const ASSET_VERSIONS: Record<string, string>;

/** Return the address of a file relative to the folder of the assets. */
export function versioned(name: string): string {
  const version = ASSET_VERSIONS[name];
  return version ? `${name}?v=${version}` : name;
}
