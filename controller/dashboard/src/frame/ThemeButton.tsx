import { useLayoutEffect } from 'preact/hooks';
import { useRemembered } from './remembered.ts';

const themes = ['auto', 'light', 'dark'] as const;
const signs = { auto: '◐', light: '☀', dark: '☾' } as const;

/** Steps through the system's theme, light and dark; the choice is remembered. */
export function ThemeButton() {
  const [theme, setTheme] = useRemembered('theme', themes, 'auto');
  // Before the frame is drawn: a page opened again does not flash in the other theme.
  useLayoutEffect(() => {
    if (theme === 'auto') {
      delete document.documentElement.dataset['theme'];
    } else {
      document.documentElement.dataset['theme'] = theme;
    }
  }, [theme]);
  const next = themes[(themes.indexOf(theme) + 1) % themes.length]!;
  return (
    <button type="button" class="button" onClick={() => setTheme(next)} title={`Theme: ${theme}. Press for ${next}.`}>
      <span aria-hidden="true">{signs[theme]}</span> <span class="wide-only">Theme: </span>{theme}
    </button>
  );
}
