/*
 * The web tag of Regulars: events out, offers in. No dependencies, no cookie, and before consent no request and nothing stored.
 *
 *   <script src="https://regulars.example/v1/tag.js" data-regulars-key="WEB-KEY" defer></script>
 *   <div data-regulars-placement="home_hero" data-regulars-count="3"></div>
 *
 *   regulars.consent.grant(["marketing"])      when the visitor says yes; from then on events are sent and slots are filled
 *   regulars.consent.revoke()                  when they say no: told at once, and nothing is kept
 *   regulars.track("product_viewed", {product_id: "p-1", category: "coffee"})
 *   regulars.identify("u-42", userHash)        after a log-in; regulars.reset() after a log-out
 *   regulars.page()                            after a change of view without a new page; regulars.refresh() asks for offers again
 *
 * Slots tell what happened by the events regulars:filled, regulars:empty and regulars:dismissed, which bubble.
 */
(() => {
  "use strict";
  const script = document.currentScript || document.querySelector('script[src*="/v1/tag.js"]');
  if (!script || window.regulars) return;
  const base = script.src.replace(/\/tag\.js.*$/, "");
  const set = script.dataset;
  // The key is public and stands in the address: so every request is a simple one, which no preflight delays.
  const query = set.regularsKey ? `?key=${encodeURIComponent(set.regularsKey)}` : "";
  const VISITOR = "regulars.visitor", SESSION = "regulars.session", UNSENT = "regulars.unsent";
  const BATCH = 50, MOST_UNSENT = 1000, BATCH_MS = 500, SESSION_MS = 30 * 60e3, TIMEOUT_MS = 10e3;

  /* Small tools. */

  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const now = () => new Date().toISOString();
  const all = (selector) => document.querySelectorAll(selector);
  const tell = (where, name, detail) => where.dispatchEvent(new CustomEvent(`regulars:${name}`, { bubbles: true, detail }));

  // A browser may refuse storage altogether; then everything lives as long as the page.
  const kept = (name) => {
    try { return JSON.parse(localStorage.getItem(name)); } catch { return null; }
  };
  const keep = (name, value) => {
    try {
      if (value === null) localStorage.removeItem(name);
      else localStorage.setItem(name, JSON.stringify(value));
    } catch { /* see above */ }
  };

  /* The visitor. `said` holds what they allow: purpose -> the statement, with its time. */

  const stranger = () => ({ id: `a-${random()}`, said: {} });
  const known = () => {
    const found = kept(VISITOR);
    return found && found.id && found.said ? found : stranger();
  };
  let visitor = known();
  const granted = () => Object.keys(visitor.said);
  const allowed = () => granted().length > 0;
  const remember = () => keep(VISITOR, allowed() ? visitor : null);

  let visit = null;
  const session = () => {
    if (!allowed()) return undefined;
    visit = kept(SESSION) || visit;
    if (!visit || Date.now() - visit.seen > SESSION_MS) visit = { id: `s-${random()}` };
    visit.seen = Date.now();
    keep(SESSION, visit);
    return visit.id;
  };
  const who = () => ({ anonymous_id: visitor.id, session_id: session(), user_id: visitor.user, user_hash: visitor.hash });
  const where = () => ({ page: { path: location.pathname }, locale: document.documentElement.lang || navigator.language });

  /* Events wait in a queue until the server has them; their ids make every repetition count once. */

  let unsent = [].concat(kept(UNSENT) || []);
  let asking = null; // the decision that is still to be answered
  let running = null, timer = 0, failures = 0;

  const post = async (path, body) => {
    try {
      return await fetch(base + path + query, {
        method: "POST", body: JSON.stringify(body), credentials: "omit", signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      return { status: 0 };
    }
  };
  const stamped = (events) => events.map((event) => ({ ...event, sent_at: now() }));
  const passing = ({ status }) => status === 0 || status === 408 || status === 429 || status >= 500;

  // Tries again later: twice as long each time, up to a minute, and never all pages at once.
  const later = (answer) => {
    const asked = 1000 * answer.headers?.get("retry-after") || 0;
    const pause = Math.max(asked, Math.min(60e3, 500 * 2 ** ++failures)) * (0.75 + Math.random() / 2);
    clearTimeout(timer);
    timer = setTimeout(run, pause);
  };

  const work = async () => {
    while (unsent.length || asking) {
      const answer = await (unsent.length ? sendEvents() : askOffers());
      if (passing(answer)) {
        unreachable();
        return later(answer);
      }
      failures = 0;
    }
  };
  const run = () => {
    clearTimeout(timer);
    timer = 0;
    running ||= work().finally(() => {
      running = null;
      if (!timer && (unsent.length || asking)) run();
    });
    return running;
  };

  const sendEvents = async () => {
    const batch = unsent.slice(0, BATCH);
    const answer = await post("/events", stamped(batch));
    if (passing(answer)) return answer;
    unsent = unsent.filter((event) => !batch.includes(event));
    if (kept(UNSENT)) keep(UNSENT, null);
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok || told.rejected?.length) {
      console.warn("Regulars refused events", told);
      tell(document, "rejected", told);
    }
    return answer;
  };

  const put = (type, data, more) => {
    const event = { id: `w-${random()}`, type, time: now(), source: `web://${location.host}`, channel: "web", ...who(), context: where(), ...more, data };
    unsent.push(event);
    // What somebody allows is never dropped.
    if (unsent.length > MOST_UNSENT) unsent.splice(unsent.findIndex((one) => one.type !== "consent_updated"), 1);
    timer ||= setTimeout(run, BATCH_MS);
    return event.id;
  };
  const track = (type, data = {}, more = {}) => (allowed() ? put(type, data, more) : null);

  // A page that goes away sends what it has and keeps a copy: whatever arrives twice counts once.
  const leave = () => {
    if (!unsent.length) return;
    keep(UNSENT, unsent);
    navigator.sendBeacon?.(`${base}/events${query}`, JSON.stringify(stamped(unsent.slice(0, BATCH))));
  };

  /* Consent. */

  const state = (purpose, status, { time = now(), ...details } = {}) => put("consent_updated", { purpose, status, ...details }, { time });

  const grant = (purposes = ["marketing"], details = {}) => {
    const news = [].concat(purposes).filter((purpose) => !visitor.said[purpose]);
    if (!news.length) return Promise.resolve();
    const first = !allowed();
    for (const purpose of news) {
      visitor.said[purpose] = { ...details, time: now() };
      state(purpose, "granted", visitor.said[purpose]);
    }
    remember();
    return first ? page() : refresh();
  };

  // Without consent nothing goes out but what is said of consent itself.
  const drop = () => {
    if (!allowed()) unsent = unsent.filter((event) => event.type === "consent_updated");
  };

  const revoke = (purposes = granted()) => {
    const gone = [].concat(purposes);
    // Somebody of whom nothing was ever told has nothing to take back.
    const tellable = allowed() || visitor.user;
    for (const purpose of gone) delete visitor.said[purpose];
    drop();
    if (tellable) for (const purpose of gone) state(purpose, "revoked");
    if (!allowed()) forget({ user: visitor.user, hash: visitor.hash });
    else remember();
    refresh();
    return run();
  };

  // From here on a stranger; what is still unsent goes out under the names it was made with.
  const forget = (login) => {
    visitor = { ...stranger(), ...login };
    visit = null;
    for (const name of [VISITOR, SESSION, UNSENT]) keep(name, null);
  };

  /* Log-in and log-out. */

  const identify = (user, hash) => {
    if (visitor.user && visitor.user !== user) reset();
    const fresh = visitor.user !== user;
    visitor.user = user;
    visitor.hash = hash;
    remember();
    if (!fresh || !allowed()) return Promise.resolve();
    // What was allowed here holds for the customer too, as of when it was said: a later withdrawal is not outvoted.
    for (const purpose of granted()) state(purpose, "granted", visitor.said[purpose]);
    return refresh();
  };
  const reset = () => {
    forget();
    return refresh();
  };

  /* Seen is what is half visible, or fills half of the window. */

  const onSight = new WeakMap();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting, intersectionRatio, intersectionRect } of entries) {
      if (!isIntersecting || (intersectionRatio < 0.5 && intersectionRect.height < innerHeight / 2)) continue;
      observer.unobserve(target);
      onSight.get(target)();
    }
  }, { threshold: [0, 0.1, 0.2, 0.3, 0.4, 0.5] });
  const whenSeen = (element, then) => {
    onSight.set(element, then);
    observer.observe(element);
  };

  /* Offers. Texts become text and addresses are looked at: nothing of an offer is ever read as HTML. */

  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    element.className = `regulars-${name}`;
    if (text) element.textContent = text;
    return element;
  };
  const address = (text) => {
    try {
      const url = new URL(text, document.baseURI);
      return /^https?:$/.test(url.protocol) ? url.href : "";
    } catch {
      return "";
    }
  };

  // A slot may hold a <template> of its own: elements with data-regulars-field take what the offer's content says.
  const filledIn = (template, content) => {
    const copy = template.content.cloneNode(true);
    for (const element of copy.querySelectorAll("[data-regulars-field]")) {
      const value = content[element.dataset.regularsField];
      const link = { A: "href", IMG: "src" }[element.tagName];
      if (!value || (link && !address(value))) element.remove();
      else if (link) element[link] = address(value);
      else element.textContent = value;
    }
    return [copy];
  };
  const usual = ({ title, text, url, image_url: image, coupon }) => {
    const parts = [];
    if (image && address(image)) {
      parts.push(make("img", "image"));
      parts[0].src = address(image);
      parts[0].alt = "";
    }
    const link = url && address(url);
    const heading = make(link ? "a" : "strong", "title", title);
    if (link) heading.href = link;
    parts.push(heading);
    if (text) parts.push(make("p", "text", text));
    if (coupon) parts.push(make("p", "coupon", coupon));
    return parts;
  };

  const own = new WeakMap(); // slot -> what the page itself has put there
  const said = new Set(); // what was told of an offer of a decision is told once
  const build = (slot, offer, decision_id) => {
    const template = own.get(slot).find((node) => node.localName === "template");
    const content = { ...offer.content, coupon: offer.coupon };
    const card = make("article", "offer");
    card.dataset.regularsOffer = offer.offer_id;
    card.append(...(template ? filledIn(template, content) : usual(content)));
    if (!card.querySelector("[data-regulars-dismiss]")) {
      const button = make("button", "dismiss", "×");
      button.type = "button";
      button.dataset.regularsDismiss = "";
      button.setAttribute("aria-label", `${set.regularsDismissLabel || "Not interested"}: ${content.title || ""}`);
      card.append(button);
    }
    const say = (type) => {
      const once = `${type} ${decision_id} ${offer.offer_id}`;
      if (!said.has(once)) track(type, {}, { decision_id, offer_id: offer.offer_id, placement: slot.dataset.regularsPlacement });
      said.add(once);
    };
    const clicked = (event) => {
      const target = event.target.closest("a, button");
      if (!target || event.button > 1) return;
      say("offer_viewed");
      if (!("regularsDismiss" in target.dataset)) return say("offer_clicked");
      say("offer_dismissed");
      card.remove();
      if (!slot.querySelector("[data-regulars-offer]")) slot.replaceChildren(...own.get(slot));
      // The focus was on the button that is gone; from here the keyboard goes on where it was.
      slot.tabIndex = -1;
      slot.focus();
      tell(slot, "dismissed", { offer_id: offer.offer_id });
    };
    card.addEventListener("click", clicked);
    card.addEventListener("auxclick", clicked);
    whenSeen(card, () => say("offer_viewed"));
    return card;
  };

  const show = (slot, offers, detail) => {
    if (!own.has(slot)) own.set(slot, [...slot.childNodes]);
    if (offers.length) slot.replaceChildren(...offers.map((offer) => build(slot, offer, detail.decision_id)));
    else if (slot.querySelector("[data-regulars-offer]")) slot.replaceChildren(...own.get(slot));
    tell(slot, offers.length ? "filled" : "empty", { placement: slot.dataset.regularsPlacement, offers, ...detail });
  };
  const counted = (slot) => Number(slot.dataset.regularsCount) || 1;

  const refresh = (context) => {
    const slots = [...all("[data-regulars-placement]")];
    asking = null;
    if (!allowed()) {
      for (const slot of slots) show(slot, [], { reason: "consent", hint: "nothing is asked before regulars.consent.grant()" });
      return run();
    }
    for (const element of all("[data-regulars-view]")) {
      if (!onSight.has(element)) whenSeen(element, () => track(element.dataset.regularsView, dataOf(element)));
    }
    if (!slots.length) return run();
    const counts = {};
    for (const slot of slots) counts[slot.dataset.regularsPlacement] = (counts[slot.dataset.regularsPlacement] || 0) + counted(slot);
    const { timeZone: timezone } = Intl.DateTimeFormat().resolvedOptions();
    asking = {
      slots,
      body: {
        request_id: `r-${random()}`, channel: "web", ...who(), context: { ...where(), timezone, ...context },
        placements: Object.entries(counts).map(([name, count]) => ({ name, count })),
      },
    };
    return run();
  };

  const askOffers = async () => {
    const question = asking;
    const answer = await post("/decisions", question.body);
    if (passing(answer)) return answer;
    const told = await answer.json().catch(() => ({}));
    // A newer question, or a withdrawal, came in between: this answer is nobody's any more.
    if (question !== asking) return answer;
    asking = null;
    const found = Object.fromEntries((told.placements || []).map((each) => [each.name, each]));
    for (const slot of question.slots) {
      const { offers = [], reason = "refused", hint = told.detail } = found[slot.dataset.regularsPlacement] || {};
      show(slot, offers.splice(0, counted(slot)), { reason, hint, decision_id: told.decision_id });
    }
    if (!answer.ok && told.code) console.warn("Regulars refused the question", told);
    return answer;
  };

  const unreachable = () => {
    for (const slot of asking?.slots || []) show(slot, [], { reason: "unreachable", hint: "the server does not answer; it is asked again" });
  };

  /* The page. */

  const dataOf = (element) => {
    try {
      return JSON.parse(element.closest("[data-regulars-data]")?.dataset.regularsData || "{}");
    } catch {
      console.warn("data-regulars-data is not JSON", element);
      return {};
    }
  };
  const page = (data = {}) => {
    track("page_viewed", data);
    return refresh();
  };
  const start = () => {
    tell(document, "ready", {});
    if (set.regularsPages === "off") refresh();
    else page();
  };

  window.regulars = Object.freeze({
    track, page, refresh, identify, reset, flush: run,
    anonymousId: () => (allowed() ? visitor.id : null),
    consent: Object.freeze({ grant, revoke, granted }),
  });
  addEventListener("pagehide", leave);
  document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && leave());
  addEventListener("online", run);
  addEventListener("pageshow", (event) => event.persisted && page());
  // Consent given or withdrawn in another tab holds in this one.
  addEventListener("storage", (event) => {
    if (event.key !== VISITOR && event.key !== null) return;
    visitor = known();
    drop();
    refresh();
  });
  document.addEventListener("click", (event) => {
    const element = event.target.closest?.("[data-regulars-click]");
    if (element) track(element.dataset.regularsClick, dataOf(element));
  });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else setTimeout(start);
})();
