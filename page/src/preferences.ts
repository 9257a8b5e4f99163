// Preferences in local storage: language and theme, never anything about an image.

export function loadPreference(key: string): string | null {
  try {
    return localStorage.getItem(`mien.${key}`);
  } catch {
    return null; // storage is disabled
  }
}

export function savePreference(key: string, value: string): void {
  try {
    localStorage.setItem(`mien.${key}`, value);
  } catch {
    // storage is disabled: the choice lasts until the page is closed
  }
}
