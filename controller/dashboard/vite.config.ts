import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

// `npm run dev` shows a running controller's data: MLNET_CONTROLLER names it.
const controller = process.env['MLNET_CONTROLLER'] ?? 'http://127.0.0.1:8080';

export default defineConfig({
  // Relative, so that the page also works behind a reverse proxy that serves it under a path.
  base: './',
  build: {
    outDir: fileURLToPath(new URL('../MLNet.SDN.Controller/wwwroot', import.meta.url)),
    emptyOutDir: true,
    target: 'es2022',
    // Inlined assets would need data: in a content security policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    proxy: {
      '/hubs': { target: controller, ws: true },
      '/api': { target: controller },
    },
  },
  test: { environment: 'node', include: ['src/**/*.test.ts'] },
});
