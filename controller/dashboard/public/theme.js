// Runs before the first paint, so that a remembered theme does not flash; in a file of its own, so that no inline script is needed.
try {
  const theme = localStorage.getItem('mlnet.theme');
  if (theme === 'light' || theme === 'dark') {
    document.documentElement.dataset.theme = theme;
  }
} catch {
  // Storage is forbidden here: the system's theme it is.
}
