// Where a request of a till goes: the rules of `storebox-proto`'s `estate`, held against the same list of cases.
//
// const servers = new Servers(config.servers);      // `servers` of GET /v1/terminal/config; null: one server
// const route = servers.route("/v1/models/Product");
// for (const name of route.servers) { … servers.failed(name, route.service, now) or servers.answered(name, route.service) }

const GENERIC = "*";
const PROBE_MIN_MS = 1000;
const PROBE_MAX_MS = 30000;

const takes = (server, service) =>
  Boolean(server.allServices) ||
  (server.services ?? []).includes(service) !== Boolean(server.allExcludingDefined);

/** The time a request is waited for: override, administrator, module, caller. */
export function timeoutOf(service, callerMs) {
  return service.overrideTimeout ?? service.timeout ?? service.defaultTimeout ?? callerMs;
}

export class Servers {
  #view;
  #silent = new Map();

  constructor(view) {
    this.#view = view;
    for (const server of view.servers) {
      if (server.online === false) this.#silence(server.name, GENERIC, 1, 0);
    }
  }

  /** Where a request to this address goes; `callerMs` is how long the caller would wait. */
  route(address, callerMs) {
    const service = this.#service(address);
    const taking = this.#view.servers.filter((server) => takes(server, service.name));
    const keepFirst = service.routing === "Transaction";
    const copies = taking.filter((server) => keepFirst && server.copies);
    let servers = taking;
    if (service.routing === "Failover" || keepFirst) {
      const ways = taking.filter((server) => !copies.includes(server));
      const silent = ways.filter((server) => this.#isSilent(server.name, service.name));
      // Those that are silent are not given up: with nobody else left they are asked all the same.
      servers = [...ways.filter((server) => !silent.includes(server)), ...silent];
    }
    const names = (list) => list.map((server) => server.name);
    const route = { service: service.name, routing: service.routing, servers: names(servers), keepFirst };
    const main = keepFirst && taking.find((server) => server.mainServer);
    if (main) route.authoritative = main.name;
    if (copies.length > 0) route.copies = names(copies);
    const timeoutMs = timeoutOf(service, callerMs);
    if (timeoutMs !== undefined) route.timeoutMs = timeoutMs;
    return route;
  }

  /** A server did not answer. */
  failed(server, service, now) {
    const failures = this.#silent.get(server)?.get(service)?.failures ?? 0;
    const wait = Math.min(PROBE_MIN_MS * 2 ** Math.min(failures, 16), PROBE_MAX_MS);
    this.#silence(server, service, failures + 1, now + wait);
  }

  /** A server answered, whatever it said. */
  answered(server, service) {
    const services = this.#silent.get(server);
    services?.delete(service);
    services?.delete(GENERIC);
    if (services?.size === 0) this.#silent.delete(server);
  }

  /** Servers that are to be looked at, each with the service it is silent for. */
  due(now) {
    const found = [];
    for (const [server, services] of this.#silent) {
      for (const [service, { probeAt }] of services) {
        if (probeAt <= now) found.push([server, service]);
      }
    }
    return found.sort();
  }

  /** Whether the till counts as online: some server that decides on that is there. */
  isOnline() {
    const deciding = this.#view.servers.filter((server) => server.triggerState !== false);
    return deciding.length === 0 || deciding.some((server) => !this.#silent.has(server.name));
  }

  /** Where a server is. */
  address(name) {
    return this.#view.servers.find((server) => server.name === name)?.address;
  }

  // The service's name is part of the address, and the longest such name wins.
  #service(address) {
    let found = { name: GENERIC, routing: "Failover" };
    for (const service of this.#view.services) {
      const longer = found.name === GENERIC || service.name.length > found.name.length;
      if (longer && address.includes(service.name)) found = service;
    }
    return found;
  }

  #silence(server, service, failures, probeAt) {
    if (!this.#silent.has(server)) this.#silent.set(server, new Map());
    this.#silent.get(server).set(service, { failures, probeAt });
  }

  #isSilent(server, service) {
    const services = this.#silent.get(server);
    return Boolean(services?.has(service) || services?.has(GENERIC));
  }
}
