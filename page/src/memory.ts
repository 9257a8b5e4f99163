// What the page remembers: the language and the colours, nothing of any image.

export function recall(key: string): string | null {
  try {
    return localStorage.getItem(`mien.${key}`);
  } catch {
    return null; // storage is switched off
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`mien.${key}`, value);
  } catch {
    // storage is switched off: the choice lasts as long as the page
  }
}
