// Keeps the till's own files, so that it starts and sells when no box answers; what boxes say is never kept here.

const SHELL = "till-2";
const FILES = [
  "/till/", "/till/till.js", "/till/ticket.js", "/till/refresh.js", "/till/person.js", "/till/till.css", "/till/till.webmanifest",
  "/console/style.css", "/console/icon.svg", "/console/lib/dom.js", "/console/lib/words.js",
  "/console/client/boxes.js", "/console/client/events.js", "/console/client/journal.js", "/console/client/shipper.js", "/console/client/masterdata.js",
  "/console/client/servers.js",
];
/** A box that is slower than this is not waited for; what is kept here does as well. */
const PATIENCE_MS = 3000;

addEventListener("install", (event) => {
  const keep = async () => {
    const cache = await caches.open(SHELL);
    await cache.addAll(FILES);
    await skipWaiting();
  };
  event.waitUntil(keep());
});

addEventListener("activate", (event) => {
  const tidy = async () => {
    const names = await caches.keys();
    await Promise.all(names.filter((name) => name !== SHELL).map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(tidy());
});

addEventListener("fetch", (event) => {
  const { origin, pathname } = new URL(event.request.url);
  if (event.request.method !== "GET" || origin !== location.origin || !FILES.includes(pathname)) return;
  event.respondWith(fresh(event.request, pathname));
});

/** The box's own file while it answers, so that a new version arrives; else the one that is kept. */
async function fresh(request, pathname) {
  const cache = await caches.open(SHELL);
  try {
    const answer = await fetch(pathname, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.ok) {
      await cache.put(pathname, answer.clone());
      return answer;
    }
  } catch {
    // The box is away: what is kept is what this is for.
  }
  return (await cache.match(pathname)) ?? Response.error();
}
