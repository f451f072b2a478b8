/* The demo's shop: what a shop's own script does beside the tag. The page is built of nodes and texts, never of HTML. */
"use strict";

const $ = (id) => document.getElementById(id);
const node = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("data-") || key.startsWith("aria-")) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
};
const post = async (path, body) => {
  const answer = await fetch(path, { method: "POST", body: JSON.stringify(body) });
  return answer.ok ? answer.json() : null;
};
const get = async (path) => (await fetch(path)).json();
const money = (minor) => `$${(minor / 100).toFixed(2)}`;
const WORDS = {
  consent: "consent", holdout: "held out", eligibility: "rules", service: "complaint", cap: "cap", stock: "stock",
  quiet_hours: "quiet hours", arbitration: "ranked lower", chosen: "chosen",
};
const HOME_AISLES = 12;

let shelf = { aisles: [] };
let cart = new Map(); // product id -> quantity
let complained = false;
let refused = false;
const shown = new Map(); // placement -> the last answer of its slot

/* Who it is, as the shop's servers are told. Before consent that is nobody. */
const who = () => ({ anonymous_id: regulars.anonymousId(), user_id: regulars.anonymousId() ? $("account").value : "" });
const said = (text) => { $("said").textContent = text; };

const accountName = () => $("account").selectedOptions[0].textContent.split(",")[0];

/* The shelf. */

const goodOf = (id) => {
  for (const aisle of shelf.aisles) for (const good of aisle.goods) if (good.product_id === id) return { aisle, good };
  return null;
};
const told = ({ aisle, good }) => ({
  product_id: good.product_id, name: good.name, category: aisle.category, price: good.price_minor, currency: shelf.currency,
});
const initials = (name) => name.split(/[^A-Za-z]+/).filter((word) => word.length > 2).slice(0, 2).map((word) => word[0].toUpperCase()).join("");

const card = (aisle, good) => {
  const add = node("button", { type: "button", "aria-label": `Add ${good.name} to the cart` }, "Add");
  add.addEventListener("click", () => put(good.product_id, 1));
  const about = [good.size, good.brand === "Private" ? "own brand" : ""].filter(Boolean).join(" · ");
  const tile = node("div", { className: `tile hue-${shelf.aisles.indexOf(aisle) % 8}`, "aria-hidden": "true" }, initials(good.name));
  return node(
    "li", { className: "card good", "data-regulars-view": "product_viewed", "data-regulars-data": JSON.stringify(told({ aisle, good })) },
    tile,
    node("div", {}, node("h3", {}, good.name), node("p", {}, about)),
    node("footer", {}, node("span", { className: "price" }, money(good.price_minor)), add),
  );
};

const here = () => shelf.aisles.find((aisle) => location.pathname === `/c/${aisle.slug}`);
const draw = () => {
  const aisle = here();
  document.title = aisle ? `${aisle.title} – The corner shop` : "The corner shop";
  $("goods-title").textContent = aisle ? aisle.title : "Bought most";
  $("goods").replaceChildren(
    ...(aisle ? aisle.goods.map((good) => card(aisle, good)) : shelf.aisles.slice(0, HOME_AISLES).map((each) => card(each, each.goods[0]))),
  );
  $("aisles").replaceChildren(...shelf.aisles.map((each) => {
    const link = node("a", { href: `/c/${each.slug}` }, each.title);
    if (each === aisle) link.setAttribute("aria-current", "page");
    return node("li", {}, link);
  }));
};
const enter = async () => {
  draw();
  const aisle = here();
  if (aisle) regulars.track("product_list_viewed", { category: aisle.category, products: aisle.goods.map((good) => told({ aisle, good })) });
  await regulars.page({ title: document.title });
};
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || url.hash) return;
  event.preventDefault();
  history.pushState({}, "", url.pathname);
  enter();
  $("goods").focus({ preventScroll: true });
  scrollTo({ top: 0 });
});
addEventListener("popstate", enter);
$("more").addEventListener("click", () => {
  const all = $("aisles").classList.toggle("all");
  $("more").setAttribute("aria-expanded", String(all));
  $("more").textContent = all ? "Fewer aisles" : "All aisles";
});

/* The cart. */

const lines = () => [...cart].map(([product_id, quantity]) => ({ product_id, quantity }));
const put = (id, change) => {
  const found = goodOf(id);
  const quantity = (cart.get(id) || 0) + change;
  if (quantity > 0) cart.set(id, quantity);
  else cart.delete(id);
  regulars.track(change > 0 ? "product_added" : "product_removed", { ...told(found), quantity: Math.abs(change) });
  said(`${found.good.name} ${change > 0 ? "is in" : "is out of"} the cart.`);
  drawCart();
  ask();
};
const drawCart = () => {
  const rows = lines().map(({ product_id, quantity }) => {
    const { good } = goodOf(product_id);
    const less = node("button", { type: "button", "aria-label": `One ${good.name} less` }, "−");
    less.addEventListener("click", () => put(product_id, -1));
    return node("li", {}, node("span", {}, `${quantity} × ${good.name}`), node("span", { className: "price" }, money(quantity * good.price_minor)), less);
  });
  $("lines").replaceChildren(...(rows.length ? rows : [node("li", { className: "quiet" }, "Nothing yet.")]));
  $("total").textContent = money(lines().reduce((sum, line) => sum + line.quantity * goodOf(line.product_id).good.price_minor, 0));
  $("cart-count").textContent = [...cart.values()].reduce((sum, quantity) => sum + quantity, 0);
  $("buy").disabled = !rows.length;
};
$("buy").addEventListener("click", async () => {
  await regulars.flush();
  const order = await post("/orders", { ...who(), lines: lines() });
  if (!order) return said("The till does not answer. Nothing was charged; please try again.");
  cart = new Map();
  drawCart();
  said(`Thank you. ${money(order.total)} paid${order.told ? "" : "; Regulars was told nothing of it"}.`);
  await ask();
});

/* Complaint, consent, account. */

const drawVisit = () => {
  const allowed = regulars.consent.granted().length > 0;
  $("complain").textContent = complained ? "It is settled" : "Something was wrong";
  $("complain").disabled = !allowed;
  $("consent").textContent = allowed ? "Stop choosing for me" : "Choose offers for me";
  $("ask").hidden = allowed || refused;
};
$("complain").addEventListener("click", async () => {
  const answer = await post("/complaints", { ...who(), settled: complained });
  if (!answer) return said("The service desk does not answer; please try again.");
  complained = !complained;
  said(complained ? "We are sorry. Until it is settled nothing is sold to you." : "Thank you for your patience.");
  drawVisit();
  await ask();
});
const allow = async () => {
  refused = false;
  await regulars.consent.grant(["marketing"]);
  drawVisit();
};
const withdraw = async () => {
  refused = true;
  complained = false;
  const done = regulars.consent.revoke();
  drawVisit();
  said("Nothing is chosen for you any more, and nothing is kept here.");
  await done;
  watch();
};
$("consent").addEventListener("click", () => (regulars.consent.granted().length ? withdraw() : allow()));
$("yes").addEventListener("click", allow);
$("no").addEventListener("click", () => {
  refused = true;
  drawVisit();
});
$("account").addEventListener("change", async () => {
  complained = false;
  const before = regulars.consent.granted();
  if ($("account").value) await regulars.identify($("account").value);
  else await regulars.reset();
  // The banner's answer was given at this counter and still stands.
  if (before.length) await regulars.consent.grant(before);
  said($("account").value ? "Welcome back." : "You are logged out.");
  drawVisit();
  await ask();
});

/* Behind the counter. */

let asked = 0;
const ask = async () => {
  // What was just told is folded within milliseconds; then the answer follows from it.
  await regulars.flush();
  await new Promise((done) => setTimeout(done, 150));
  await regulars.refresh({ cart: lines().map(({ product_id, quantity }) => ({ product_id, quantity, category: goodOf(product_id).aisle.category })) });
};
const facts = (pairs) => $("facts").replaceChildren(...pairs.flatMap(([name, value]) => [node("dt", {}, name), node("dd", {}, String(value))]));
const watch = async () => {
  const mine = ++asked;
  const hero = shown.get("home_hero") || { offers: [], reason: "consent" };
  if (!regulars.anonymousId()) {
    facts([["Consent", "not given"], ["Known", "nothing: this page asks and tells nothing"], ["Reason", hero.reason]]);
    $("known").hidden = true;
    return;
  }
  const why = await post("/why", who());
  if (!why || mine !== asked) return;
  const held = why.customer;
  $("known").hidden = false;
  facts([
    ["Customer", who().user_id ? accountName() : `visitor ${who().anonymous_id.slice(0, 9)}…`],
    ["Consent", Object.entries(held.consent || {}).map(([purpose, status]) => `${purpose} ${status}`).join(", ") || "unknown"],
    ["Bought", held.purchases?.count ? `${held.purchases.count === 1 ? "once" : `${held.purchases.count} times`}, ${money(held.purchases.spend_minor)}` : "nothing yet"],
    ["Complaints", held.open_complaints ? `${held.open_complaints} open` : "none open"],
    ["Events", held.events || 0],
    ["Reason", hero.reason + (hero.hint ? `: ${hero.hint}` : "")],
  ]);
  $("reasons").replaceChildren(...hero.offers.map((offer) => node(
    "li", {}, node("strong", {}, offer.content.title || offer.offer_id), why.offers[offer.offer_id] || "takes the place where nothing personal is left",
  )));
  const all = Object.values(why.stages).reduce((sum, count) => sum + count, 0);
  $("stages").replaceChildren(...Object.keys(WORDS).filter((stage) => why.stages[stage]).map((stage) => node(
    "li", {}, node("span", {}, WORDS[stage]), node("progress", { max: all, value: why.stages[stage], "aria-label": WORDS[stage] }), node("b", {}, String(why.stages[stage])),
  )));
  $("rules").replaceChildren(...why.rules.map((rule) => node("li", {}, rule)));
  $("sent").replaceChildren(...why.sent.reverse().map((event) => node("li", {}, event.type, " ", node("span", {}, event.what))));
};
for (const name of ["filled", "empty"]) {
  document.addEventListener(`regulars:${name}`, (event) => {
    shown.set(event.detail.placement, event.detail);
    clearTimeout(watch.timer);
    // What was just sent is folded within milliseconds; then the panel tells the same as the slot.
    watch.timer = setTimeout(watch, 150);
  });
}

/* Opening time. */

const open = async () => {
  const state = await get("/state.json").catch(() => ({}));
  $("closed").hidden = Boolean(state.open);
  if (!state.open) return setTimeout(open, 1000);
  shelf = await get("/shelf.json");
  for (const one of state.members) $("account").append(node("option", { value: one.user_id }, `Household ${one.household}, fond of ${one.fond_of}`));
  $("date").textContent = new Date(`${state.date}T12:00:00Z`).toLocaleDateString("en", { dateStyle: "full", timeZone: "UTC" });
  $("page").hidden = false;
  $("behind").open = matchMedia("(min-width: 60rem)").matches;
  drawCart();
  drawVisit();
  await enter();
};
open();
