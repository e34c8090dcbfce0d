// The status page. Whatever comes from a volume is put in as text, never as markup.
"use strict";

const REFRESH_MS = 2000;
const AWAY_MS = 10000;
const byId = (id) => document.getElementById(id);
let shown = null;   // the last status, and when it came
let shownAt = 0;
let paused = false;
let pathShown = "";
let volume = "";    // "": the first one

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const part of content) made.append(part);
  return made;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function who(one) {
  const by = one.worker ? `worker ${one.worker}` : `process ${one.pid}`;
  return one.endpoint ? `${by} of ${one.endpoint}` : by;
}

function matches(one) {
  const wanted = byId("filter").value.trim().toLowerCase();
  return !wanted || JSON.stringify(one).toLowerCase().includes(wanted);
}

async function ask(path) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const stop = AbortSignal.timeout(AWAY_MS);
  const response = await fetch(path, { headers, signal: stop, cache: "no-store" });
  byId("login").hidden = response.status !== 401;
  const found = await response.json();
  if (!response.ok) throw new Error(found.error || response.statusText);
  return found;
}

// Rows and their parts keep their elements from one look to the next: the focus stays, and what is
// selected, and a click that a look falls into.
function fill(id, rows, nothing) {
  const list = byId(id);
  const before = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const all = rows.length ? rows : [["nothing", () => element("p", "empty", nothing)]];
  const wanted = all.map(([key, make]) => {
    const made = make();
    made.dataset.key = key;
    return before.has(made.dataset.key) ? renewed(before.get(made.dataset.key), made) : made;
  });
  for (const row of [...list.children]) if (!wanted.includes(row)) row.remove();
  wanted.forEach((row, place) => {
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] || null);
  });
}

function renewed(old, made) {
  const parts = [...made.children];
  old.className = made.className;
  parts.forEach((part, place) => {
    const mine = old.children[place];
    if (!mine) old.append(part);
    else if (mine.textContent !== part.textContent && !mine.contains(document.activeElement)) {
      mine.replaceWith(part);
    }
  });
  while (old.children.length > parts.length) old.lastElementChild.remove();
  return old;
}

// The volume's own path stands at the top of the page.
function short(path) {
  const root = `${shown.volume.root.replace(/\/$/, "")}/`;
  if (path === shown.volume.root) return "(the whole volume)";
  return path.startsWith(root) ? path.slice(root.length) : path;
}

function pathsOf(paths) {
  const box = element("div", "path");
  paths.forEach((path, index) => {
    if (index) box.append(", ");
    const button = element("button", "", short(path));
    button.type = "button";
    button.title = `History of ${path}`;
    button.addEventListener("click", () => history(path));
    box.append(button);
  });
  return box;
}

function leaseRow(lease) {
  return [`lease ${lease.token}`, () => {
    const tags = [element("span", `tag ${lease.mode}`, lease.mode)];
    if (lease.breaking) tags.push(element("span", "tag broken", "being broken"));
    const row = element("article", `row ${lease.mode}${lease.breaking ? " breaking" : ""}`,
      pathsOf(lease.paths),
      element("div", "since", duration(lease.held_seconds + age())),
      element("div", "who", ...tags, `${who(lease)} on ${lease.host}, token ${lease.token}`));
    if (lease.reason) row.append(element("div", "why", lease.reason));
    return row;
  }];
}

function waitingRow(one, index) {
  return [`wait ${one.session} ${one.paths.join(" ")} ${index}`, () => {
    const row = element("article", "row waits",
      pathsOf(one.paths),
      element("div", "since", duration(one.waited_seconds + age())),
      element("div", "who", element("span", "tag waits", `${one.position} in line`),
        element("span", `tag ${one.mode}`, one.mode), `${who(one)} on ${one.host}`));
    if (one.reason) row.append(element("div", "why", one.reason));
    return row;
  }];
}

function violationRow(one) {
  return [`violation ${one.path} ${one.seen_at} ${one.seen_by}`, () => element("article", "row violation",
    pathsOf([one.path]),
    element("div", "since", `${duration(Math.max(0, shown.now - one.seen_at + age()))} ago`),
    element("div", "who", element("span", `tag ${one.origin}`, one.origin),
      `${one.what}, seen by ${one.seen_by}`))];
}

function card(value, words, bad) {
  return element("div", bad ? "card bad" : "card", element("b", "", String(value)),
    element("span", "", words));
}

function detectionFacts() {
  const facts = shown.detection || {};
  const said = [["Below", facts.roots && facts.roots.length ? facts.roots.join(", ") : "no roots are configured (VOLUMELEASE_ROOTS)"]];
  if (facts.trouble) said.push(["Trouble", facts.trouble, true]);
  if (facts.running) {
    said.push(["Watched here", `${facts.watches} of ${facts.directories} directories`, facts.watches < facts.directories]);
    const scan = facts.last_scan || {};
    for (const [kind, words] of [["known", "Last look"], ["everything", "Last sweep"]]) {
      if (scan[kind]) said.push([words, `${duration(Math.max(0, shown.now - scan[kind] + age()))} ago`]);
    }
    said.push(["Events lost", String(facts.overflows), facts.overflows > 0]);
  } else if (facts.roots && facts.roots.length && !facts.trouble) {
    said.push(["State", "not looking from here"]);
  }
  const list = byId("detection");
  list.replaceChildren(...said.flatMap(([name, value, bad]) =>
    [element("dt", "", name), element("dd", bad ? "bad" : "", value)]));
}

const age = () => (paused ? 0 : (performance.now() - shownAt) / 1000);

function show() {
  if (!shown) return;
  const held = shown.leases.filter(matches);
  const waits = shown.waiting.filter(matches);
  const bad = (shown.violations || []).filter(matches).reverse();
  byId("root").textContent = shown.volume.root;
  byId("about").textContent =
    `${shown.volume.fstype} from ${shown.volume.source} · identity ${shown.volume.id}`;
  byId("limit").textContent = `Limit: ${shown.limit}.`;
  byId("numbers").replaceChildren(
    card(shown.leases.length, "held"), card(shown.waiting.length, "waiting"),
    card(shown.violations_24h, "writes without a lease, 24 h", shown.violations_24h > 0),
    card(shown.authority, "grants the leases"), card(shown.bell, "wakes who waits"),
    card(shown.enforcement, "enforcement"));
  byId("held-count").textContent = held.length;
  byId("waits-count").textContent = waits.length;
  byId("bad-count").textContent = bad.length;
  fill("leases", held.map(leaseRow), "Nobody holds a lease.");
  fill("waiting", waits.map(waitingRow), "Nobody waits.");
  fill("violations", bad.map(violationRow), "None on record.");
  detectionFacts();
  volumes();
  document.title = `${shown.leases.length} held, ${shown.waiting.length} waiting · volumelease`;
}

// Which volume, where a daemon serves several.
function volumes() {
  const list = byId("volume"), known = shown.volumes || [];
  byId("volumes").hidden = known.length < 2;
  if (list.children.length !== known.length) {
    list.replaceChildren(...known.map((one) => {
      const option = element("option", "", one.root);
      option.value = one.id;
      return option;
    }));
  }
  if (document.activeElement !== list) list.value = shown.volume.id;
}

function state(words, kind) {
  const pill = byId("state");
  if (pill.textContent !== words) pill.textContent = words;
  pill.className = `pill ${kind}`;
}

async function refresh() {
  if (!paused && !document.hidden) {
    try {
      const asked = volume;
      const found = await ask(`api/v1/status?volume=${encodeURIComponent(asked)}`);
      if (asked !== volume) return void setTimeout(refresh, 0);
      shown = found;
      shownAt = performance.now();
      state("live", "good");
      show();
    } catch (error) {
      const away = shown ? ` · this is of ${duration(age())} ago` : "";
      state(`${error.message || "no answer"}${away}`, "bad");
    }
  }
  setTimeout(refresh, REFRESH_MS);
}

async function history(path) {
  pathShown = path;
  byId("past").hidden = false;
  byId("past-title").textContent = `History of ${path}`;
  byId("history").replaceChildren(element("p", "empty", "Looking ..."));
  byId("past-title").scrollIntoView({ block: "nearest" });
  try {
    const found = await ask(`api/v1/history?path=${encodeURIComponent(path)}`);
    if (pathShown !== path) return;
    const rows = found.leases.slice(-30).reverse().map((lease) => [lease.token, () => {
      const row = element("article", `row ${lease.mode}`,
        element("div", "path", lease.paths.map(short).join(", ")),
        element("div", "since", lease.held_seconds === null ? "" : duration(lease.held_seconds)),
        element("div", "who", element("span", `tag ${lease.mode}`, lease.mode),
          `${who(lease)} on ${lease.host}, token ${lease.token}: ${lease.state}`));
      if (lease.reason) row.append(element("div", "why", lease.reason));
      return row;
    }]);
    fill("history", rows, "Nobody leased it, as far back as the log goes.");
  } catch (error) {
    byId("history").replaceChildren(element("p", "empty", error.message));
  }
}

byId("pause").addEventListener("click", () => {
  if (!paused) shownAt = performance.now() - age() * 1000;
  paused = !paused;
  byId("pause").textContent = paused ? "Go on" : "Pause";
  byId("pause").setAttribute("aria-pressed", String(paused));
  if (paused) state("paused", "");
});
byId("past-close").addEventListener("click", () => { byId("past").hidden = true; byId("held").focus(); });
byId("filter").addEventListener("input", show);
byId("volume").addEventListener("change", () => {
  volume = byId("volume").value;
  byId("past").hidden = true;
  state("looking", "");
});
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value);
  byId("token").value = "";
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement.tagName !== "INPUT") {
    event.preventDefault();
    byId("filter").focus();
  }
  if (event.key === "Escape" && document.activeElement === byId("filter")) {
    byId("filter").value = "";
    show();
  }
});
setInterval(() => { if (!paused) show(); }, 1000);
refresh();
