import { useState } from 'preact/hooks';

/** A choice kept in this browser. Where storage is forbidden it lasts as long as the page. */
export function useRemembered<T extends string>(name: string, values: readonly T[], fallback: T): [T, (value: T) => void] {
  const [value, setValue] = useState<T>(() => {
    try {
      const stored = localStorage.getItem(`mlnet.${name}`);
      return values.find((v) => v === stored) ?? fallback;
    } catch {
      return fallback;
    }
  });
  return [
    value,
    (next) => {
      setValue(next);
      try {
        localStorage.setItem(`mlnet.${name}`, next);
      } catch {
        // Not kept; nothing else depends on it.
      }
    },
  ];
}
